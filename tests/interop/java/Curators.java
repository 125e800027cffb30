import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryNTimes;

/** Curator clients for a test, and threads to use them in. */
final class Curators {
    private Curators() {
    }

    /** A connected client with a session of its own, patient enough for a server that is killed and started again. */
    static CuratorFramework start(Harness t) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(t.hosts())
            .sessionTimeoutMs(10_000)
            .connectionTimeoutMs(3_000)
            .retryPolicy(new RetryNTimes(200, 50))
            .build();
        t.closeAtTheEnd(client);
        client.start();
        Harness.check(client.blockUntilConnected((int) Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "connected");
        return client;
    }

    static CuratorFramework[] start(Harness t, int count) throws Exception {
        CuratorFramework[] clients = new CuratorFramework[count];
        for (int i = 0; i < count; i++) {
            clients[i] = start(t);
        }
        return clients;
    }

    static ExecutorService threads(Harness t) {
        ExecutorService threads = Executors.newCachedThreadPool();
        t.closeAtTheEnd(threads::shutdownNow);
        return threads;
    }

    static long session(CuratorFramework client) throws Exception {
        return client.getZookeeperClient().getZooKeeper().getSessionId();
    }

    static List<String> children(CuratorFramework client, String path) throws Exception {
        return client.getChildren().forPath(path);
    }

    static int number(CuratorFramework client, String path) throws Exception {
        return Integer.parseInt(Harness.text(client.getData().forPath(path)));
    }
}
