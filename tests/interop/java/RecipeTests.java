import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooKeeper;

/** The recipes of ZooKeeper's documentation, written with the plain client: lock and leader election. */
public final class RecipeTests {
    private static final byte[] EMPTY = {};

    private RecipeTests() {
    }

    /** The documented lock: an ephemeral sequential node, and a watch on the one just before it. */
    private static final class Lock {
        private final ZooKeeper zk;
        private final String root;
        private String mine;

        Lock(ZooKeeper zk, String root) {
            this.zk = zk;
            this.root = root;
        }

        void enqueue() throws Exception {
            String path = zk.create(root + "/lock-", EMPTY, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
            mine = path.substring(root.length() + 1);
        }

        boolean isFirst() throws Exception {
            return predecessor() == null;
        }

        private String predecessor() throws Exception {
            List<String> queue = patiently(() -> zk.getChildren(root, false));
            Collections.sort(queue);
            int place = queue.indexOf(mine);
            Harness.check(place >= 0, "our node is in the queue " + queue);
            return place == 0 ? null : queue.get(place - 1);
        }

        void await() throws Exception {
            String before;
            while ((before = predecessor()) != null) {
                String path = root + "/" + before;
                CountDownLatch moved = new CountDownLatch(1);
                if (patiently(() -> zk.exists(path, event -> moved.countDown())) != null) {
                    Harness.check(moved.await(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "the queue moves");
                }
            }
        }

        void release() throws Exception {
            patiently(() -> {
                try {
                    zk.delete(root + "/" + mine, -1);
                } catch (KeeperException.NoNodeException e) {
                    // An earlier try did it, though its reply was lost.
                }
                return null;
            });
        }
    }

    private interface Request<T> {
        T send() throws Exception;
    }

    /** Sends again as long as the connection is lost: for requests that may be carried out twice. */
    private static <T> T patiently(Request<T> request) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(Harness.LIMIT_MS);
        while (true) {
            try {
                return request.send();
            } catch (KeeperException.ConnectionLossException e) {
                Harness.check(System.nanoTime() < deadline, "the connection comes back");
            }
        }
    }

    public static void lockUnderContention(Harness t) throws Exception {
        contend(t, "/java-lock", () -> { });
    }

    public static void lockWhileTheServerIsKilled(Harness t) throws Exception {
        contend(t, "/java-lock-kill", t::killAndRestartServer);
    }

    private static void contend(Harness t, String root, Harness.Attempt disturbance) throws Exception {
        int clients = 5;
        t.connect().create(root, EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        List<Lock> locks = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            Lock lock = new Lock(t.connect(), root);
            lock.enqueue();
            locks.add(lock);
        }
        Harness.check(locks.get(0).isFirst(), "the first in the queue has the lock");
        AtomicInteger inside = new AtomicInteger();
        List<Integer> order = Collections.synchronizedList(new ArrayList<>());
        List<Future<?>> work = new ArrayList<>();
        ExecutorService pool = Executors.newFixedThreadPool(clients);
        try {
            for (int i = clients - 1; i > 0; i--) {
                int name = i;
                work.add(pool.submit(() -> {
                    Lock lock = locks.get(name);
                    lock.await();
                    Harness.equal(1, inside.incrementAndGet(), "clients inside");
                    order.add(name);
                    patiently(() -> lock.zk.setData(root, EMPTY, -1));
                    inside.decrementAndGet();
                    lock.release();
                    return null;
                }));
            }
            disturbance.run();
            Harness.check(order.isEmpty(), "nobody passes the holder");
            locks.get(0).release();
            for (Future<?> done : work) {
                done.get(2 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
            }
        } finally {
            pool.shutdownNow();
        }
        Harness.equal(Arrays.asList(1, 2, 3, 4), order, "in the order of the queue");
    }

    public static void leaderElection(Harness t) throws Exception {
        ZooKeeper observer = t.connect();
        observer.create("/java-election", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        List<ZooKeeper> candidates = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            ZooKeeper zk = t.connect();
            zk.create("/java-election/n-", Harness.bytes("" + i), OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
            candidates.add(zk);
        }
        for (int leader = 0; leader < 4; leader++) {
            Harness.equal("" + leader, leader(observer), "leader");
            Harness.Events succession = new Harness.Events();
            observer.getChildren("/java-election", succession);
            candidates.get(leader).close();
            Harness.equal("NodeChildrenChanged /java-election", succession.next(), "the leader is gone");
        }
    }

    public static void leaderElectionThroughKill(Harness t) throws Exception {
        ZooKeeper observer = t.connect();
        observer.create("/java-election-kill", EMPTY, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Lock first = new Lock(t.connect(), "/java-election-kill");
        Lock second = new Lock(t.connect(), "/java-election-kill");
        first.enqueue();
        second.enqueue();
        t.killAndRestartServer();
        Harness.check(first.isFirst() && !second.isFirst(), "the leader is still the leader");
        first.zk.close();
        second.await();
    }

    private static String leader(ZooKeeper zk) throws Exception {
        List<String> queue = zk.getChildren("/java-election", false);
        Collections.sort(queue);
        return Harness.text(zk.getData("/java-election/" + queue.get(0), false, null));
    }
}
