import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Transaction;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Apache ZooKeeper's own Java client: its synchronous and asynchronous interface, watches, sessions. */
public final class ClientTests {
    private static final byte[] EMPTY = {};

    private ClientTests() {
    }

    public static void createInEveryMode(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        Harness.equal("/modes", zk.create("/modes", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), "path");
        for (CreateMode mode : CreateMode.values()) {
            String given = "/modes/" + mode.name();
            Stat stat = new Stat();
            byte[] data = Harness.bytes(mode.name());
            String path = mode.isTTL()
                    ? zk.create(given, data, OPEN_ACL_UNSAFE, mode, stat, 60_000)
                    : zk.create(given, data, OPEN_ACL_UNSAFE, mode, stat);
            Harness.check(mode.isSequential() ? path.matches(given + "\\d{10}") : path.equals(given), "path " + path);
            Harness.equal(mode.isEphemeral() ? zk.getSessionId() : 0L, stat.getEphemeralOwner(), mode + "'s owner");
            Harness.equal(data.length, stat.getDataLength(), mode + "'s length");
            Stat read = new Stat();
            Harness.equal(mode.name(), Harness.text(zk.getData(path, false, read)), "data");
            Harness.equal(stat, read, mode + ": the Stat of the reply and of a read");
        }
        Harness.equal(7, zk.getChildren("/modes", false).size(), "children");
        Harness.refused(Code.NOCHILDRENFOREPHEMERALS,
                () -> zk.create("/modes/EPHEMERAL/x", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    }

    public static void dataVersionsAndErrors(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/java-data", Harness.bytes("0"), OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Stat stat = zk.setData("/java-data", Harness.bytes("1"), 0);
        Harness.equal(1, stat.getVersion(), "version");
        Harness.refused(Code.BADVERSION, () -> zk.setData("/java-data", EMPTY, 0));
        Harness.refused(Code.NONODE, () -> zk.setData("/java-none", EMPTY, -1));
        Harness.refused(Code.NODEEXISTS,
                () -> zk.create("/java-data", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        Harness.refused(Code.BADVERSION, () -> zk.delete("/java-data", 0));
        zk.setData("/java-data", null, 1);
        Harness.check(zk.getData("/java-data", false, stat) == null, "null data stays null");
        zk.delete("/java-data", 2);
        Harness.check(zk.exists("/java-data", false) == null, "deleted");
        Harness.refused(Code.NONODE, () -> zk.getChildren("/java-data", false));
    }

    public static void asynchronous(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        zk.create("/async", Harness.bytes("a"), OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                (rc, path, ctx, name, stat) -> told.add("create " + rc + " " + name + " " + stat.getVersion()), null);
        zk.setData("/async", Harness.bytes("b"), 0,
                (rc, path, ctx, stat) -> told.add("set " + rc + " " + stat.getVersion()), null);
        zk.getData("/async", false,
                (rc, path, ctx, data, stat) -> told.add("get " + rc + " " + Harness.text(data)), null);
        zk.exists("/async-none", false, (rc, path, ctx, stat) -> told.add("exists " + Code.get(rc)), null);
        zk.getChildren("/async", false,
                (rc, path, ctx, children, stat) -> told.add("children " + rc + " " + children), null);
        zk.getACL("/async", new Stat(), (rc, path, ctx, acl, stat) -> told.add("acl " + rc + " " + acl.size()), null);
        zk.setACL("/async", OPEN_ACL_UNSAFE, 0,
                (rc, path, ctx, stat) -> told.add("setACL " + rc + " " + stat.getAversion()), null);
        zk.multi(Arrays.asList(Op.check("/async", 1)), (rc, path, ctx, results) -> told.add("multi " + rc), null);
        zk.getEphemerals("/", (rc, ctx, paths) -> told.add("ephemerals " + rc + " " + paths), null);
        zk.getAllChildrenNumber("/async", (rc, path, ctx, number) -> told.add("number " + rc + " " + number), null);
        zk.sync("/async", (rc, path, ctx) -> told.add("sync " + rc + " " + path), null);
        zk.delete("/async", 9, (rc, path, ctx) -> told.add("delete " + Code.get(rc)), null);
        zk.delete("/async", 1, (rc, path, ctx) -> told.add("delete " + Code.get(rc)), null);
        List<String> expected = Arrays.asList("create 0 /async 0", "set 0 1", "get 0 b", "exists NONODE",
                "children 0 []", "acl 0 1", "setACL 0 1", "multi 0", "ephemerals 0 []", "number 0 0", "sync 0 /async",
                "delete BADVERSION", "delete OK");
        List<String> found = new ArrayList<>();
        for (int i = 0; i < expected.size(); i++) {
            found.add(told.poll(Harness.LIMIT_MS, TimeUnit.MILLISECONDS));
        }
        Harness.equal(expected, found, "replies, in the order of the requests");
    }

    public static void asynchronousThousands(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/many", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        for (int i = 0; i < 3000; i++) {
            zk.create("/many/n-", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL,
                    (rc, path, ctx, name) -> told.add(rc + name), null);
        }
        for (int i = 0; i < 3000; i++) {
            String reply = told.poll(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
            Harness.equal(String.format("0/many/n-%010d", i), reply, "reply");
        }
        Harness.equal(3000, zk.getAllChildrenNumber("/many"), "descendants");
    }

    public static void multiAllOrNothing(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        List<OpResult> results = zk.multi(Arrays.asList(
                Op.create("/multi", Harness.bytes("m"), OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create("/multi/c", EMPTY, OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                Op.create("/multi/t", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 60_000),
                Op.create("/multi/e", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL),
                Op.setData("/multi", Harness.bytes("n"), 0),
                Op.check("/multi", 1),
                Op.delete("/multi/c", -1)));
        Harness.equal("/multi/e0000000002", ((OpResult.CreateResult) results.get(3)).getPath(), "sequential");
        Harness.equal(1, ((OpResult.SetDataResult) results.get(4)).getStat().getVersion(), "version");
        Harness.equal(7, results.size(), "results");
        try {
            zk.multi(Arrays.asList(Op.setData("/multi", EMPTY, -1), Op.delete("/multi", -1), Op.check("/multi", 0)));
            throw new AssertionError("a multi that cannot be carried out was");
        } catch (KeeperException e) {
            Harness.equal(Code.NOTEMPTY, e.code(), "the first error is the multi's");
            List<Integer> codes = new ArrayList<>();
            for (OpResult result : e.getResults()) {
                codes.add(((OpResult.ErrorResult) result).getErr());
            }
            List<Integer> expected = Arrays.asList(0, Code.NOTEMPTY.intValue(), Code.RUNTIMEINCONSISTENCY.intValue());
            Harness.equal(expected, codes, "codes");
        }
        Harness.equal("n", Harness.text(zk.getData("/multi", false, null)), "nothing happened");
    }

    public static void transaction(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        Transaction transaction = zk.transaction()
                .create("/transaction", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                .check("/transaction", 0)
                .setData("/transaction", Harness.bytes("x"), 0)
                .delete("/transaction", 1);
        Harness.equal(4, transaction.commit().size(), "results");
        Harness.check(zk.exists("/transaction", false) == null, "made and deleted in one step");
    }

    public static void multiReads(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/reads", Harness.bytes("r"), OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/reads/a", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        List<OpResult> results = zk.multi(
                Arrays.asList(Op.getData("/reads"), Op.getData("/none"), Op.getChildren("/reads")));
        Harness.equal("r", Harness.text(((OpResult.GetDataResult) results.get(0)).getData()), "data");
        Harness.equal(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(1)).getErr(), "a part may fail");
        List<String> children = ((OpResult.GetChildrenResult) results.get(2)).getChildren();
        Harness.equal(Collections.singletonList("a"), children, "children");
    }

    public static void persistentWatches(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        ZooKeeper other = t.connect();
        zk.create("/pw", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Harness.Events one = new Harness.Events();
        Harness.Events all = new Harness.Events();
        zk.addWatch("/pw", one, AddWatchMode.PERSISTENT);
        zk.addWatch("/pw/a", all, AddWatchMode.PERSISTENT_RECURSIVE);
        other.create("/pw/a", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.create("/pw/a/b", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.setData("/pw/a/b", EMPTY, -1);
        other.setData("/pw", EMPTY, -1);
        other.delete("/pw/a/b", -1);
        other.delete("/pw/a", -1);
        for (String expected : new String[] {"NodeChildrenChanged /pw", "NodeDataChanged /pw",
                "NodeChildrenChanged /pw"}) {
            Harness.equal(expected, one.next(), "persistent");
        }
        for (String expected : new String[] {"NodeCreated /pw/a", "NodeCreated /pw/a/b", "NodeDataChanged /pw/a/b",
                "NodeDeleted /pw/a/b", "NodeDeleted /pw/a"}) {
            Harness.equal(expected, all.next(), "recursive");
        }
        Harness.check(one.isEmpty() && all.isEmpty(), "no further events");
    }

    public static void removeWatches(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/rw", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Harness.Events data = new Harness.Events();
        Harness.Events children = new Harness.Events();
        Harness.Events persistent = new Harness.Events();
        zk.getData("/rw", data, null);
        zk.getChildren("/rw", children);
        zk.addWatch("/rw", persistent, AddWatchMode.PERSISTENT);
        zk.removeWatches("/rw", data, Watcher.WatcherType.Data, false);
        Harness.equal("DataWatchRemoved /rw", data.next(), "told of the removal");
        zk.setData("/rw", EMPTY, -1);
        Harness.equal("NodeDataChanged /rw", persistent.next(), "the others stay");
        zk.removeAllWatches("/rw", Watcher.WatcherType.Any, false);
        zk.create("/rw/a", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.sync("/rw", (rc, path, ctx) -> { }, null);
        zk.exists("/rw", false);
        Harness.equal("ChildWatchRemoved /rw", children.next(), "told too");
        Harness.equal("PersistentWatchRemoved /rw", persistent.next(), "told too");
        Harness.check(data.isEmpty() && children.isEmpty() && persistent.isEmpty(), "and silent from then on");
        Harness.refused(Code.NOWATCHER, () -> zk.removeAllWatches("/rw", Watcher.WatcherType.Any, false));
    }

    public static void ephemeralsAndNumbers(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/numbers", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/numbers/e", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        zk.create("/numbers/p", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/numbers/p/e", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        List<String> found = zk.getEphemerals("/numbers");
        Collections.sort(found);
        Harness.equal(Arrays.asList("/numbers/e", "/numbers/p/e"), found, "ephemerals below a path");
        Harness.equal(2, zk.getEphemerals().size(), "all ephemerals");
        Harness.equal(3, zk.getAllChildrenNumber("/numbers"), "descendants");
        Harness.equal(0, t.connect().getEphemerals().size(), "another session's");
    }

    public static void whoAmI(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.addAuthInfo("digest", Harness.bytes("ivan:pw"));
        List<String> found = new ArrayList<>();
        for (ClientInfo info : zk.whoAmI()) {
            found.add(info.getAuthScheme() + ":" + info.getUser());
        }
        Collections.sort(found);
        Harness.equal(Arrays.asList("digest:ivan", "ip:127.0.0.1"), found, "identities");
    }

    public static void accessControl(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        ZooKeeper stranger = t.connect();
        Id judy = new Id("digest", DigestAuthenticationProvider.generateDigest("judy:pw"));
        zk.addAuthInfo("digest", Harness.bytes("judy:pw"));
        zk.create("/java-acl", EMPTY, ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Stat stat = new Stat();
        Harness.equal(Collections.singletonList(new ACL(ZooDefs.Perms.ALL, judy)), zk.getACL("/java-acl", stat), "ACL");
        Harness.refused(Code.NOAUTH, () -> stranger.getData("/java-acl", false, null));
        Harness.refused(Code.NOAUTH, () -> stranger.setACL("/java-acl", OPEN_ACL_UNSAFE, -1));
        Harness.refused(Code.INVALIDACL, () -> stranger.create("/java-acl-2", EMPTY, ZooDefs.Ids.CREATOR_ALL_ACL,
                CreateMode.PERSISTENT));
        Harness.equal(1, zk.setACL("/java-acl", OPEN_ACL_UNSAFE, 0).getAversion(), "aversion");
        Harness.refused(Code.BADVERSION, () -> zk.setACL("/java-acl", OPEN_ACL_UNSAFE, 0));
        Harness.equal(0, stranger.getData("/java-acl", false, null).length, "open now");
    }

    public static void synchronisation(Harness t) throws Exception {
        ZooKeeper writer = t.connect();
        ZooKeeper reader = t.connect();
        writer.create("/java-sync", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        for (int i = 1; i <= 20; i++) {
            writer.setData("/java-sync", Harness.bytes("" + i), -1);
            reader.sync("/java-sync");
            Harness.equal("" + i, Harness.text(reader.getData("/java-sync", false, null)), "read after sync");
        }
    }

    public static void configNode(Harness t) throws Exception {
        // A standalone server has no members to tell; clients rely on an empty node, not on a missing one.
        Stat stat = new Stat();
        byte[] config = t.connect().getConfig(false, stat);
        Harness.equal(0, config == null ? 0 : config.length, "empty");
    }

    public static void resumeASession(Harness t) throws Exception {
        Harness.Events events = new Harness.Events();
        ZooKeeper first = t.connect(events);
        first.create("/handover", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        long session = first.getSessionId();
        ZooKeeper second = t.resume(session, first.getSessionPasswd());
        Harness.equal(session, second.getSessionId(), "the same session");
        Harness.equal(session, second.exists("/handover", false).getEphemeralOwner(), "and its node");
        second.close();
        ZooKeeper observer = t.connect();
        Harness.check(observer.exists("/handover", false) == null, "the session is closed");
        events.waitFor(Watcher.Event.KeeperState.Expired);
    }

    public static void ephemeralChangesHands(Harness t) throws Exception {
        ZooKeeper first = t.connect();
        ZooKeeper second = t.connect();
        first.create("/owner", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Harness.Events events = new Harness.Events();
        second.exists("/owner", events);
        Harness.refused(Code.NODEEXISTS, () -> second.create("/owner", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        first.close();
        Harness.equal("NodeDeleted /owner", events.next(), "the watch tells the heir");
        second.create("/owner", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Harness.equal(second.getSessionId(), t.connect().exists("/owner", false).getEphemeralOwner(), "the new owner");
    }

    public static void watchesSurviveKillAndRestart(Harness t) throws Exception {
        Harness.Events state = new Harness.Events();
        ZooKeeper zk = t.connect(state);
        state.states.clear();
        for (String path : new String[] {"/kill", "/kill/data", "/kill/family", "/kill/tree", "/kill/persistent"}) {
            zk.create(path, EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        zk.create("/kill/mine", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Harness.Events data = new Harness.Events();
        Harness.Events born = new Harness.Events();
        Harness.Events family = new Harness.Events();
        Harness.Events persistent = new Harness.Events();
        Harness.Events recursive = new Harness.Events();
        zk.getData("/kill/data", data, null);
        zk.exists("/kill/born", born);
        zk.getChildren("/kill/family", family);
        zk.addWatch("/kill/persistent", persistent, AddWatchMode.PERSISTENT);
        zk.addWatch("/kill/tree", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        long session = zk.getSessionId();
        t.killAndRestartServer();
        state.waitFor(Watcher.Event.KeeperState.Disconnected);
        state.waitFor(Watcher.Event.KeeperState.SyncConnected);
        Harness.equal(session, zk.getSessionId(), "the session goes on");
        // Re-arming travels before any request of ours, so none of these can slip through.
        Harness.equal(session, zk.exists("/kill/mine", false).getEphemeralOwner(), "with its ephemeral node");
        ZooKeeper other = t.connect();
        other.setData("/kill/data", EMPTY, -1);
        other.create("/kill/born", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.create("/kill/family/a", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.setData("/kill/persistent", EMPTY, -1);
        other.setData("/kill/persistent", EMPTY, -1);
        other.create("/kill/tree/a", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.create("/kill/tree/a/b", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Harness.equal("NodeDataChanged /kill/data", data.next(), "data watch");
        Harness.equal("NodeCreated /kill/born", born.next(), "exists watch");
        Harness.equal("NodeChildrenChanged /kill/family", family.next(), "child watch");
        Harness.equal("NodeDataChanged /kill/persistent", persistent.next(), "persistent watch");
        Harness.equal("NodeDataChanged /kill/persistent", persistent.next(), "persistent watch, again");
        Harness.equal("NodeCreated /kill/tree/a", recursive.next(), "recursive watch");
        Harness.equal("NodeCreated /kill/tree/a/b", recursive.next(), "recursive watch, deeper");
    }

    public static void acknowledgedWritesSurviveKill(Harness t) throws Exception {
        Harness.Events state = new Harness.Events();
        ZooKeeper zk = t.connect(state);
        zk.create("/acked", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        BlockingQueue<String> acknowledged = new LinkedBlockingQueue<>();
        for (int i = 0; i < 2000; i++) {
            zk.create("/acked/" + i, EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, (rc, path, ctx, name) -> {
                if (rc == 0) {
                    acknowledged.add(path);
                }
            }, null);
        }
        // The kill falls somewhere into the stream of replies.
        Harness.waitUntil("some are acknowledged", () -> acknowledged.size() >= 100);
        t.killAndRestartServer();
        Harness.waitUntil("back again", () -> zk.exists("/acked", false) != null);
        List<String> present = zk.getChildren("/acked", false);
        List<String> missing = new ArrayList<>(acknowledged);
        missing.removeIf(path -> present.contains(path.substring("/acked/".length())));
        Harness.equal(Collections.emptyList(), missing, "acknowledged but lost");
    }

    public static void closeIsFinal(Harness t) throws Exception {
        ZooKeeper zk = t.connect();
        zk.create("/closing", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Harness.check(zk.close((int) Harness.LIMIT_MS), "closes in time");
        Harness.equal(ZooKeeper.States.CLOSED, zk.getState(), "state");
        Harness.refused(Code.SESSIONEXPIRED, () -> zk.exists("/", false));
        Harness.check(t.connect().exists("/closing", false) == null, "ephemerals are gone");
    }
}
