import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Curator's ways to work together: barriers, queues, counts. */
public final class CuratorWorkTests {
    private CuratorWorkTests() {
    }

    public static void barrierHoldsThroughAKilledServer(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 3);
        ExecutorService threads = Curators.threads(t);
        DistributedBarrier barrier = new DistributedBarrier(clients[0], "/curator-barrier");
        barrier.setBarrier();
        List<Future<?>> waiting = new ArrayList<>();
        CountDownLatch begun = new CountDownLatch(2);
        for (int i = 1; i < 3; i++) {
            DistributedBarrier theirs = new DistributedBarrier(clients[i], "/curator-barrier");
            waiting.add(threads.submit(() -> {
                begun.countDown();
                theirs.waitOnBarrier();
                return null;
            }));
        }
        begun.await();
        Harness.check(!new DistributedBarrier(clients[0], "/curator-barrier").waitOnBarrier(200, TimeUnit.MILLISECONDS), "it holds");
        t.killAndRestartServer();
        Harness.check(clients[0].checkExists().forPath("/curator-barrier") != null, "it stands after the restart");
        Harness.check(waiting.stream().noneMatch(Future::isDone), "it still holds");
        barrier.removeBarrier();
        for (Future<?> one : waiting) {
            one.get(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
    }

    public static void doubleBarrierLetsInAndOutTogether(Harness t) throws Exception {
        int members = 3;
        ExecutorService threads = Curators.threads(t);
        AtomicInteger inside = new AtomicInteger();
        CountDownLatch firstMayLeave = new CountDownLatch(1);
        CountDownLatch othersMayLeave = new CountDownLatch(1);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(Curators.start(t), "/curator-double", members);
            CountDownLatch mayLeave = i == 0 ? firstMayLeave : othersMayLeave;
            all.add(threads.submit(() -> {
                Harness.check(barrier.enter(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "enter");
                inside.incrementAndGet();
                mayLeave.await(2 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
                Harness.check(barrier.leave(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "leave");
                return null;
            }));
        }
        Harness.waitUntil("all are in", () -> inside.get() == members);
        t.killAndRestartServer();
        CuratorFramework client = Curators.start(t);
        Harness.equal(members + 1, Curators.children(client, "/curator-double").size(), "the members, and the sign that they began");
        othersMayLeave.countDown();
        Harness.waitUntil("one of the two is out", () -> Curators.children(client, "/curator-double").size() <= members);
        Harness.check(all.stream().noneMatch(Future::isDone), "nobody is done before all leave");
        firstMayLeave.countDown();
        for (Future<?> one : all) {
            one.get(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
    }

    private static final QueueSerializer<String> TEXT = new QueueSerializer<String>() {
        @Override
        public byte[] serialize(String item) {
            return Harness.bytes(item);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return Harness.text(bytes);
        }
    };

    public static void queueDeliversEverythingThroughAKilledServer(Harness t) throws Exception {
        int items = 60;
        Set<String> consumed = ConcurrentHashMap.newKeySet();
        List<String> order = new ArrayList<>();
        QueueConsumer<String> consumer = new QueueConsumer<String>() {
            @Override
            public void consumeMessage(String message) {
                synchronized (order) {
                    if (consumed.add(message)) { // with a lock path, a message may come twice
                        order.add(message);
                    }
                }
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        };
        CuratorFramework producer = Curators.start(t);
        CuratorFramework first = Curators.start(t);
        DistributedQueue<String> in = queue(t, producer, null);
        queue(t, first, consumer);
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < items; i++) {
            if (i == items / 2) {
                Harness.waitUntil("the first are consumed", () -> consumed.size() > items / 4);
                t.killAndRestartServer();
            }
            in.put("item " + i);
            sent.add("item " + i);
        }
        // The one that was being taken when the server died may stay: Curator repeats its request for the item's lock,
        // finds the lock that is its own and takes it for somebody else's, until its session ends.
        Harness.waitUntil("what is left is locked", () -> {
            List<String> left = Curators.children(producer, "/curator-queue");
            return consumed.size() >= items - 1 && Curators.children(producer, "/curator-queue-locks").containsAll(left);
        });
        List<String> late = new ArrayList<>(sent);
        late.removeAll(consumed);
        first.close();
        queue(t, Curators.start(t), consumer);
        Harness.waitUntil("everything is consumed", () -> consumed.containsAll(sent));
        Harness.waitUntil("the queue is empty", () -> Curators.children(producer, "/curator-queue").isEmpty());
        sent.removeAll(late);
        synchronized (order) {
            order.removeAll(late);
            Harness.equal(sent, order, "the order");
        }
    }

    private static DistributedQueue<String> queue(Harness t, CuratorFramework client, QueueConsumer<String> consumer)
        throws Exception {
        DistributedQueue<String> queue = QueueBuilder.builder(client, consumer, TEXT, "/curator-queue")
            .lockPath("/curator-queue-locks").buildQueue();
        t.closeAtTheEnd(queue);
        queue.start();
        return queue;
    }

    public static void sharedCountIsSetByOneAtATime(Harness t) throws Exception {
        int workers = 3;
        int each = 20;
        ExecutorService threads = Curators.threads(t);
        List<Future<?>> all = new ArrayList<>();
        CountDownLatch half = new CountDownLatch(workers * each / 2);
        for (int w = 0; w < workers; w++) {
            SharedCount count = new SharedCount(Curators.start(t), "/curator-count", 0);
            t.closeAtTheEnd(count);
            count.start();
            all.add(threads.submit(() -> {
                for (int i = 0; i < each; i++) {
                    VersionedValue<Integer> seen;
                    do {
                        seen = count.getVersionedValue();
                    } while (!count.trySetCount(seen, seen.getValue() + 1));
                    half.countDown();
                }
                return null;
            }));
        }
        Harness.check(half.await(Harness.LIMIT_MS, TimeUnit.MILLISECONDS), "half of it");
        for (Future<?> one : all) {
            one.get(2 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        t.killAndRestartServer();
        SharedCount late = new SharedCount(Curators.start(t), "/curator-count", 7);
        t.closeAtTheEnd(late);
        late.start();
        Harness.equal(workers * each, late.getCount(), "the sum, seen by a latecomer after a restart");
    }

    public static void atomicLongAddsUp(Harness t) throws Exception {
        ExecutorService threads = Curators.threads(t);
        AtomicInteger succeeded = new AtomicInteger();
        List<Future<?>> all = new ArrayList<>();
        for (int w = 0; w < 3; w++) {
            DistributedAtomicLong number =
                new DistributedAtomicLong(Curators.start(t), "/curator-long", new RetryNTimes(50, 10));
            all.add(threads.submit(() -> {
                for (int i = 0; i < 20; i++) {
                    AtomicValue<Long> result = number.add(5L);
                    if (result.succeeded()) {
                        Harness.equal(5L, result.postValue() - result.preValue(), "one addition");
                        succeeded.incrementAndGet();
                    }
                }
                return null;
            }));
        }
        for (Future<?> one : all) {
            one.get(2 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        Harness.check(succeeded.get() > 0, "some succeed");
        DistributedAtomicLong number = new DistributedAtomicLong(Curators.start(t), "/curator-long", new RetryNTimes(3, 10));
        Harness.equal(5L * succeeded.get(), number.get().postValue(), "the sum");
    }
}
