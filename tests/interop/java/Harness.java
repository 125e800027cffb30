import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/**
 * Runs the tests of one class, a test for each line it reads, and answers each with one line.
 *
 * <p>In: the name of a public static method that takes a {@link Harness}. Out: {@code @passed} or {@code @failed why}.
 * In between a test may ask for the server to be killed with kill -9 and started again: {@code @restart} out,
 * {@code done} in.
 */
public final class Harness {
    static final long LIMIT_MS = 15_000;

    final int port;
    private final BufferedReader in;
    private final List<AutoCloseable> open = new ArrayList<>();

    private Harness(int port, BufferedReader in) {
        this.port = port;
        this.in = in;
    }

    public static void main(String[] args) throws Exception {
        Class<?> tests = Class.forName(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String name;
        while ((name = in.readLine()) != null) {
            String[] words = name.split(" ");
            Harness harness = new Harness(Integer.parseInt(words[1]), in);
            try {
                Method test = tests.getMethod(words[0], Harness.class);
                test.invoke(null, harness);
                System.out.println("@passed");
            } catch (InvocationTargetException e) {
                e.getCause().printStackTrace();
                System.out.println("@failed " + e.getCause().toString().replace('\n', ' '));
            } finally {
                harness.closeAll();
            }
        }
    }

    /** A connected client that is closed when the test ends. */
    ZooKeeper connect() throws Exception {
        return connect(new Events());
    }

    ZooKeeper connect(Events events) throws Exception {
        return connected(new ZooKeeper(hosts(), 10_000, events), events);
    }

    /** A client that takes over a session. */
    ZooKeeper resume(long session, byte[] password) throws Exception {
        Events events = new Events();
        return connected(new ZooKeeper(hosts(), 10_000, events, session, password), events);
    }

    /** The same server three times, so that a connect request is given up after a third of the session's timeout:
     * Apache's server sometimes never answers one that it accepted while it was starting. */
    String hosts() {
        String host = "127.0.0.1:" + port;
        return host + "," + host + "," + host;
    }

    private ZooKeeper connected(ZooKeeper zk, Events events) throws Exception {
        closeAtTheEnd(zk);
        check(events.connected.await(LIMIT_MS, TimeUnit.MILLISECONDS), "connected");
        return zk;
    }

    /** kill -9 of the server, then a new start on the same directory. Returns once it serves again. */
    void killAndRestartServer() throws Exception {
        System.out.println("@restart");
        equal("done", in.readLine(), "the harness restarts the server");
    }

    /** What is closed when the test ends, the last one first. */
    <T extends AutoCloseable> T closeAtTheEnd(T resource) {
        open.add(resource);
        return resource;
    }

    private void closeAll() throws Exception {
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("not so: " + what);
        }
    }

    static void equal(Object expected, Object found, String what) {
        check(Objects.equals(expected, found), what + ": expected " + expected + ", found " + found);
    }

    interface Attempt {
        void run() throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** The attempt must fail with just this code. */
    static void refused(KeeperException.Code code, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (KeeperException e) {
            equal(code, e.code(), "error");
            return;
        }
        throw new AssertionError("went through, but expected " + code);
    }

    /** Polls; an error of ZooKeeper's counts as "not yet". */
    static void waitUntil(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LIMIT_MS);
        CountDownLatch never = new CountDownLatch(1);
        while (true) {
            try {
                if (condition.holds()) {
                    return;
                }
            } catch (KeeperException e) {
                // Not yet.
            }
            check(System.nanoTime() < deadline, what);
            never.await(20, TimeUnit.MILLISECONDS);
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    /** A watcher that keeps what it is told: node events in a queue, the connection's state aside. */
    static final class Events implements Watcher {
        final CountDownLatch connected = new CountDownLatch(1);
        final BlockingQueue<Event.KeeperState> states = new LinkedBlockingQueue<>();
        private final BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                events.add(event);
                return;
            }
            states.add(event.getState());
            if (event.getState() == Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }

        /** The next event, as "NodeCreated /path". */
        String next() throws InterruptedException {
            WatchedEvent event = events.poll(LIMIT_MS, TimeUnit.MILLISECONDS);
            check(event != null, "an event comes");
            return event.getType() + " " + event.getPath();
        }

        boolean isEmpty() {
            return events.isEmpty();
        }

        void waitFor(Event.KeeperState state) throws InterruptedException {
            Event.KeeperState found;
            do {
                found = states.poll(LIMIT_MS, TimeUnit.MILLISECONDS);
                check(found != null, "the client becomes " + state);
            } while (found != state);
        }
    }
}
