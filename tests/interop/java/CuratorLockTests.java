import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/** Curator's locks, semaphores and leaders. Every server here is killed once while somebody holds and somebody waits. */
public final class CuratorLockTests {
    private CuratorLockTests() {
    }

    public static void mutexIsHeldThroughAKilledServer(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 2);
        ExecutorService threads = Curators.threads(t);
        InterProcessMutex mine = new InterProcessMutex(clients[0], "/curator-mutex");
        InterProcessMutex theirs = new InterProcessMutex(clients[1], "/curator-mutex");
        mine.acquire();
        mine.acquire();
        long session = Curators.session(clients[0]);
        CompletableFuture<Void> got = new CompletableFuture<>();
        threads.submit(() -> {
            theirs.acquire();
            got.complete(null);
            return null;
        });
        Harness.waitUntil("the other queues", () -> mine.getParticipantNodes().size() == 2);
        t.killAndRestartServer();
        Harness.equal(2, mine.getParticipantNodes().size(), "both nodes are there after the restart");
        Harness.equal(session, Curators.session(clients[0]), "session");
        Harness.check(mine.isOwnedByCurrentThread() && !got.isDone(), "the lock is still ours");
        mine.release();
        Harness.check(mine.isOwnedByCurrentThread() && !got.isDone(), "taken twice, given back once");
        mine.release();
        got.get(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        Harness.check(!mine.acquire(200, TimeUnit.MILLISECONDS), "now it is theirs");
        Harness.waitUntil("we queue no more", () -> mine.getParticipantNodes().size() == 1);
    }

    public static void mutexGuardsACounterThroughAKilledServer(Harness t) throws Exception {
        int workers = 4;
        int each = 25;
        CuratorFramework client = Curators.start(t);
        client.create().forPath("/curator-counter", Harness.bytes("0"));
        ExecutorService threads = Curators.threads(t);
        List<Future<?>> all = new ArrayList<>();
        for (int w = 0; w < workers; w++) {
            CuratorFramework mine = Curators.start(t);
            all.add(threads.submit(() -> {
                InterProcessMutex lock = new InterProcessMutex(mine, "/curator-counter-lock");
                for (int i = 0; i < each; i++) {
                    lock.acquire();
                    try {
                        int next = Curators.number(mine, "/curator-counter") + 1;
                        mine.setData().forPath("/curator-counter", Harness.bytes(Integer.toString(next)));
                    } finally {
                        lock.release();
                    }
                }
                return null;
            }));
        }
        Harness.waitUntil("the first of them", () -> Curators.number(client, "/curator-counter") > 10);
        t.killAndRestartServer();
        for (Future<?> one : all) {
            one.get(3 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        Harness.equal(workers * each, Curators.number(client, "/curator-counter"), "counted");
    }

    public static void readWriteLock(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 3);
        ExecutorService threads = Curators.threads(t);
        InterProcessReadWriteLock[] locks = new InterProcessReadWriteLock[3];
        for (int i = 0; i < 3; i++) {
            locks[i] = new InterProcessReadWriteLock(clients[i], "/curator-rw");
        }
        locks[0].readLock().acquire();
        Harness.check(locks[1].readLock().acquire(5, TimeUnit.SECONDS), "two read at once");
        Harness.check(!locks[2].writeLock().acquire(200, TimeUnit.MILLISECONDS), "nobody writes meanwhile");
        CompletableFuture<Void> wrote = new CompletableFuture<>();
        CompletableFuture<Void> mayEnd = new CompletableFuture<>();
        Future<?> writer = threads.submit(() -> {
            locks[2].writeLock().acquire();
            locks[2].readLock().acquire(); // who writes may go on as a reader
            wrote.complete(null);
            mayEnd.get();
            locks[2].writeLock().release();
            return null;
        });
        Harness.waitUntil("the writer queues", () -> Curators.children(clients[0], "/curator-rw").size() == 3);
        locks[0].readLock().release();
        t.killAndRestartServer();
        Harness.check(!wrote.isDone(), "one still reads");
        locks[1].readLock().release();
        wrote.get(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        Harness.check(!locks[0].readLock().acquire(200, TimeUnit.MILLISECONDS), "nobody reads while it writes");
        mayEnd.complete(null);
        writer.get(Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        Harness.check(locks[0].readLock().acquire(5, TimeUnit.SECONDS), "the writer became a reader");
    }

    public static void semaphoreLeasesNeverExceedTheirNumber(Harness t) throws Exception {
        int leases = 3;
        ExecutorService threads = Curators.threads(t);
        AtomicInteger holding = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        AtomicInteger turns = new AtomicInteger();
        List<Future<?>> all = new ArrayList<>();
        for (int w = 0; w < 6; w++) {
            CuratorFramework client = Curators.start(t);
            all.add(threads.submit(() -> {
                InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/curator-semaphore", leases);
                for (int i = 0; i < 8; i++) {
                    Lease lease = semaphore.acquire();
                    most.accumulateAndGet(holding.incrementAndGet(), Math::max);
                    turns.incrementAndGet();
                    // Something to do that takes as long as a round trip.
                    client.checkExists().forPath("/");
                    holding.decrementAndGet();
                    semaphore.returnLease(lease);
                }
                return null;
            }));
        }
        Harness.waitUntil("the first turns", () -> turns.get() > 12);
        t.killAndRestartServer();
        for (Future<?> one : all) {
            one.get(3 * Harness.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        Harness.equal(48, turns.get(), "turns");
        Harness.check(most.get() <= leases, "at most three at once: " + most);
        CuratorFramework client = Curators.start(t);
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/curator-semaphore", leases);
        Harness.equal(leases, semaphore.acquire(leases, 5, TimeUnit.SECONDS).size(), "all leases are back");
        Harness.check(semaphore.acquire(200, TimeUnit.MILLISECONDS) == null, "and no more");
    }

    public static void leaderLatchPassesOn(Harness t) throws Exception {
        CuratorFramework[] clients = Curators.start(t, 3);
        List<LeaderLatch> latches = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            LeaderLatch latch = new LeaderLatch(clients[i], "/curator-latch", "latch " + i);
            latch.start();
            latches.add(latch);
        }
        LeaderLatch first = theOnlyLeader(latches);
        Harness.equal(first.getId(), latches.get(0).getLeader().getId(), "what they say of the leader");
        t.killAndRestartServer();
        LeaderLatch second = theOnlyLeader(latches);
        Harness.equal(3, latches.get(0).getParticipants().size(), "participants");
        latches.remove(second);
        second.close();
        LeaderLatch third = theOnlyLeader(latches);
        // A session that ends takes its leadership along.
        clients[Integer.parseInt(third.getId().substring(6))].close();
        latches.remove(third);
        LeaderLatch last = theOnlyLeader(latches);
        last.close();
    }

    private static LeaderLatch theOnlyLeader(List<LeaderLatch> latches) throws Exception {
        Harness.waitUntil("a leader", () -> latches.stream().filter(LeaderLatch::hasLeadership).count() == 1);
        return latches.stream().filter(LeaderLatch::hasLeadership).findFirst().orElseThrow();
    }

    public static void leaderSelectorsTakeTurns(Harness t) throws Exception {
        AtomicInteger leading = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        AtomicInteger[] turns = new AtomicInteger[3];
        for (int i = 0; i < 3; i++) {
            AtomicInteger mine = turns[i] = new AtomicInteger();
            CuratorFramework client = Curators.start(t);
            LeaderSelector selector = new LeaderSelector(client, "/curator-selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework leader) throws Exception {
                    most.accumulateAndGet(leading.incrementAndGet(), Math::max);
                    try {
                        leader.checkExists().forPath("/");
                        mine.incrementAndGet();
                    } finally {
                        leading.decrementAndGet();
                    }
                }
            });
            selector.autoRequeue();
            t.closeAtTheEnd(selector);
            selector.start();
        }
        everybodyLeads(turns, 3);
        t.killAndRestartServer();
        everybodyLeads(turns, 3);
        Harness.equal(1, most.get(), "leaders at once");
    }

    private static void everybodyLeads(AtomicInteger[] turns, int more) throws Exception {
        for (AtomicInteger one : turns) {
            int target = one.get() + more;
            Harness.waitUntil("everybody leads", () -> one.get() >= target);
        }
    }
}
