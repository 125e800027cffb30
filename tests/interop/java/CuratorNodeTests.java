import static org.apache.zookeeper.KeeperException.Code.BADVERSION;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.api.transaction.OperationType;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.data.Stat;

/** Curator's caches, watchers and self-restoring nodes, and what its builders make of requests. */
public final class CuratorNodeTests {
    private CuratorNodeTests() {
    }

    public static void cacheFollowsATreeThroughAKilledServer(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 2);
        clients[1].create().creatingParentsIfNeeded().forPath("/curator-cache/a/b", Harness.bytes("1"));
        CuratorCache cache = CuratorCache.build(clients[0], "/curator-cache");
        t.closeAtTheEnd(cache);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch loaded = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder()
            .forInitialized(loaded::countDown)
            .afterInitialized()
            .forAll((type, before, after) -> seen.add(type + " " + (after == null ? before : after).getPath()))
            .build());
        cache.start();
        Harness.check(loaded.await(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "the cache is loaded");
        // The cache reads a changed node anew; were it gone by then, it would not tell of the change.
        clients[1].setData().forPath("/curator-cache/a/b", Harness.bytes("2"));
        Harness.waitUntil("the change", () -> seen.size() >= 1);
        clients[1].create().forPath("/curator-cache/a/c", Harness.bytes("3"));
        Harness.waitUntil("the creation", () -> seen.size() >= 2);
        clients[1].delete().forPath("/curator-cache/a/b");
        Harness.waitUntil("the deletion", () -> seen.size() >= 3);
        Harness.equal(
            Arrays.asList("NODE_CHANGED /curator-cache/a/b", "NODE_CREATED /curator-cache/a/c", "NODE_DELETED /curator-cache/a/b"),
            seen, "events");
        t.killAndRestartServer();
        for (int i = 0; i < 20; i++) {
            clients[1].create().forPath("/curator-cache/n" + i, Harness.bytes("" + i));
        }
        clients[1].delete().forPath("/curator-cache/a/c");
        Harness.waitUntil("the same as the tree", () -> read(clients[1], "/curator-cache").equals(cached(cache)));
    }

    private static Map<String, String> cached(CuratorCache cache) {
        Map<String, String> found = new TreeMap<>();
        cache.stream().forEach(node -> found.put(node.getPath(), Harness.text(node.getData())));
        return found;
    }

    private static Map<String, String> read(CuratorFramework client, String path) throws Exception {
        Map<String, String> found = new TreeMap<>();
        found.put(path, Harness.text(client.getData().forPath(path)));
        for (String child : Curators.children(client, path)) {
            found.putAll(read(client, path + "/" + child));
        }
        return found;
    }

    @SuppressWarnings("deprecation") // the older cache, which sets one-shot watches: many still use it
    public static void pathChildrenCacheFollows(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 2);
        clients[1].create().creatingParentsIfNeeded().forPath("/curator-path/a", Harness.bytes("1"));
        PathChildrenCache cache = new PathChildrenCache(clients[0], "/curator-path", true);
        t.closeAtTheEnd(cache);
        cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        Harness.equal(1, cache.getCurrentData().size(), "the first load");
        for (int round = 0; round < 2; round++) {
            String name = "/curator-path/b" + round;
            clients[1].create().forPath(name, Harness.bytes("1"));
            Harness.waitUntil("created", () -> cache.getCurrentData(name) != null);
            clients[1].setData().forPath(name, Harness.bytes("2"));
            Harness.waitUntil("changed", () -> Harness.text(cache.getCurrentData(name).getData()).equals("2"));
            clients[1].delete().forPath(name);
            Harness.waitUntil("deleted", () -> cache.getCurrentData(name) == null);
            if (round == 0) {
                t.killAndRestartServer();
            }
        }
        List<String> paths = new ArrayList<>();
        for (ChildData child : cache.getCurrentData()) {
            paths.add(child.getPath());
        }
        Harness.equal(Collections.singletonList("/curator-path/a"), paths, "children");
    }

    public static void persistentNodeComesBack(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 2);
        PersistentNode node =
            new PersistentNode(clients[0], CreateMode.EPHEMERAL, false, "/curator-persistent", Harness.bytes("1"));
        node.start();
        Harness.check(node.waitForInitialCreate(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "created");
        Stat first = clients[1].checkExists().forPath("/curator-persistent");
        Harness.equal(Curators.session(clients[0]), first.getEphemeralOwner(), "owner");
        clients[1].delete().forPath("/curator-persistent");
        Harness.waitUntil("it comes back", () -> clients[1].checkExists().forPath("/curator-persistent") != null);
        node.setData(Harness.bytes("2"));
        Harness.waitUntil("its data changes",
            () -> Harness.text(clients[1].getData().forPath("/curator-persistent")).equals("2"));
        t.killAndRestartServer();
        Harness.equal("2", Harness.text(clients[1].getData().forPath("/curator-persistent")), "its data");
        clients[1].delete().forPath("/curator-persistent");
        Harness.waitUntil("it comes back with its data",
            () -> Harness.text(clients[1].getData().forPath("/curator-persistent")).equals("2"));
        node.close();
        Harness.waitUntil("closed, it goes", () -> clients[1].checkExists().forPath("/curator-persistent") == null);
    }

    public static void persistentTtlNodeIsTouched(Harness t) throws Exception {
        CuratorFramework client = Curators.start(t);
        PersistentTtlNode node = new PersistentTtlNode(client, "/curator-ttl", 1_000, Harness.bytes("x"));
        t.closeAtTheEnd(node);
        node.start();
        Harness.check(node.waitForInitialCreate(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "created");
        Harness.waitUntil("a child with a time to live", () -> Curators.children(client, "/curator-ttl").size() == 1);
        String child = "/curator-ttl/" + Curators.children(client, "/curator-ttl").get(0);
        int before = client.checkExists().forPath(child).getVersion();
        t.killAndRestartServer();
        Harness.waitUntil("it is touched again", () -> client.checkExists().forPath(child).getVersion() > before + 1);
    }

    public static void groupMembersSeeEachOther(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 3);
        List<GroupMember> members = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            GroupMember member = new GroupMember(clients[i], "/curator-group", "member" + i, Harness.bytes("data " + i));
            t.closeAtTheEnd(member);
            member.start();
            members.add(member);
        }
        for (GroupMember member : members) {
            Harness.waitUntil("all three", () -> member.getCurrentMembers().size() == 3);
        }
        t.killAndRestartServer();
        for (GroupMember member : members) {
            Harness.waitUntil("all three again", () -> member.getCurrentMembers().size() == 3);
        }
        Harness.equal("data 2", Harness.text(members.get(0).getCurrentMembers().get("member2")), "data");
        members.get(2).close();
        Harness.waitUntil("two are left", () -> members.get(0).getCurrentMembers().size() == 2);
    }

    public static void recursiveWatcherSeesATree(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 2);
        clients[1].create().forPath("/curator-watcher");
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        PersistentWatcher watcher = new PersistentWatcher(clients[0], "/curator-watcher", true);
        t.closeAtTheEnd(watcher);
        CountDownLatch set = new CountDownLatch(1);
        watcher.getResetListenable().addListener(set::countDown);
        watcher.getListenable().addListener((WatchedEvent event) -> {
            if (event.getType() != EventType.None) {
                events.add(event.getType() + " " + event.getPath());
            }
        });
        watcher.start();
        Harness.check(set.await(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "the watch is set");
        for (int round = 0; round < 2; round++) {
            String path = "/curator-watcher/" + round;
            clients[1].create().forPath(path);
            clients[1].create().forPath(path + "/below");
            clients[1].setData().forPath(path + "/below", Harness.bytes("x"));
            clients[1].delete().deletingChildrenIfNeeded().forPath(path);
            for (String expected : Arrays.asList("NodeCreated " + path, "NodeCreated " + path + "/below",
                "NodeDataChanged " + path + "/below", "NodeDeleted " + path + "/below", "NodeDeleted " + path)) {
                Harness.equal(expected, events.poll(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "event");
            }
            if (round == 0) {
                t.killAndRestartServer();
                Harness.check(clients[0].blockUntilConnected(15, TimeUnit.SECONDS), "connected again");
                // The client sets its watches again before anything else: a read of its own is behind that.
                clients[0].checkExists().forPath("/");
            }
        }
        Harness.check(events.isEmpty(), "no more events");
    }

    public static void transactionsDoAllOrNothing(Harness t) throws Exception {
        CuratorFramework client = Curators.start(t);
        client.create().forPath("/curator-transaction", Harness.bytes("0"));
        Collection<CuratorTransactionResult> results = client.transaction().forOperations(
            client.transactionOp().check().withVersion(0).forPath("/curator-transaction"),
            client.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/curator-transaction/s-"),
            client.transactionOp().setData().withVersion(0).forPath("/curator-transaction", Harness.bytes("1")),
            client.transactionOp().create().withMode(CreateMode.CONTAINER).forPath("/curator-transaction/c"),
            client.transactionOp().delete().forPath("/curator-transaction/c"));
        List<CuratorTransactionResult> list = new ArrayList<>(results);
        Harness.equal(5, list.size(), "results");
        Harness.equal(OperationType.CREATE, list.get(1).getType(), "a kind");
        Harness.equal("/curator-transaction/s-0000000000", list.get(1).getResultPath(), "the name");
        Harness.equal(1, list.get(2).getResultStat().getVersion(), "the version");
        Harness.refused(BADVERSION, () -> client.transaction().forOperations(
            client.transactionOp().delete().forPath("/curator-transaction/s-0000000000"),
            client.transactionOp().check().withVersion(0).forPath("/curator-transaction")));
        t.killAndRestartServer();
        Harness.equal("1", Harness.text(client.getData().forPath("/curator-transaction")), "data");
        Harness.equal(Collections.singletonList("s-0000000000"), Curators.children(client, "/curator-transaction"), "children");
    }

    public static void buildersOfEveryKind(Harness t) throws Exception {
        CuratorFramework plain = Curators.start(t);
        CuratorFramework client = plain.usingNamespace("curator-builders");
        client.create().creatingParentContainersIfNeeded().forPath("/a/b/c", Harness.bytes("x"));
        Harness.equal("x", Harness.text(plain.getData().forPath("/curator-builders/a/b/c")), "below the namespace");
        client.create().idempotent().forPath("/a/b/c", Harness.bytes("x"));
        client.create().orSetData().forPath("/a/b/c", Harness.bytes("y"));
        byte[] large = new byte[500_000];
        client.setData().compressed().forPath("/a/b/c", large);
        Harness.check(client.getData().forPath("/a/b/c").length < 10_000, "it is kept compressed");
        Harness.check(Arrays.equals(large, client.getData().decompressed().forPath("/a/b/c")), "and comes back whole");
        String kept = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/a/p-");
        Harness.check(kept.startsWith("/a/_c_") && kept.endsWith("p-0000000001"), kept);
        Stat stat = new Stat();
        client.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/a/ttl");
        client.getData().storingStatIn(stat).forPath("/a/ttl");
        Harness.equal(0, stat.getVersion(), "version");
        BlockingQueue<String> done = new LinkedBlockingQueue<>();
        client.getChildren().inBackground((c, event) -> done.add(event.getType() + " " + event.getChildren().size())).forPath("/a");
        Harness.equal("CHILDREN 3", done.poll(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "in the background");
        client.delete().guaranteed().deletingChildrenIfNeeded().forPath("/a");
        Harness.equal(null, client.checkExists().forPath("/a"), "gone with its children");
        client.delete().quietly().forPath("/a");
    }
}
