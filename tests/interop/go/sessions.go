package main

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

func init() {
	test("watches_fire_once", watchesFireOnce)
	test("watches_survive_a_killed_server", watchesSurvive)
	test("session_survives_a_killed_server", sessionSurvives)
	test("writes_through_a_killed_server_are_not_lost", writesThroughAKill)
	test("lock_through_a_killed_server", lockThroughAKill)
}

func watchesFireOnce(t *T) {
	conn, other := t.connect(), t.connect()
	root := t.root(conn, "/go-watches")
	_, _, children, err := conn.ChildrenW(root)
	t.ok(err)
	exists, _, created, err := conn.ExistsW(root + "/n")
	t.ok(err)
	t.check(!exists, "not there yet")
	_, err = other.Create(root+"/n", []byte("1"), 0, open)
	t.ok(err)
	t.equal(t.event(created), "EventNodeCreated "+root+"/n", "exists")
	t.equal(t.event(children), "EventNodeChildrenChanged "+root, "children")

	data, _, changed, err := conn.GetW(root + "/n")
	t.ok(err)
	t.equal(string(data), "1", "data")
	_, err = other.Set(root+"/n", []byte("2"), -1)
	t.ok(err)
	t.equal(t.event(changed), "EventNodeDataChanged "+root+"/n", "get")
	_, open := <-changed
	t.check(!open, "a watch that fired is spent")

	_, _, deleted, err := conn.GetW(root + "/n")
	t.ok(err)
	_, _, below, err := conn.ChildrenW(root + "/n")
	t.ok(err)
	t.ok(other.Delete(root+"/n", -1))
	t.equal(t.event(deleted), "EventNodeDeleted "+root+"/n", "data watch")
	t.equal(t.event(below), "EventNodeDeleted "+root+"/n", "child watch")
}

func watchesSurvive(t *T) {
	conn, other := t.connect(), t.connect()
	root := t.root(conn, "/go-rewatch")
	for _, name := range []string{"/a", "/b"} {
		t.root(conn, root+name)
	}
	_, _, data, err := conn.GetW(root + "/a")
	t.ok(err)
	_, _, deleted, err := conn.GetW(root + "/b")
	t.ok(err)
	_, _, created, err := conn.ExistsW(root + "/c")
	t.ok(err)
	_, _, children, err := conn.ChildrenW(root)
	t.ok(err)
	t.restart()
	t.waitUntil("both are back", func() bool {
		return conn.State() == zk.StateHasSession && other.State() == zk.StateHasSession
	})
	t.again("set", func() error { _, err := other.Set(root+"/a", []byte("x"), -1); return err })
	t.equal(t.event(data), "EventNodeDataChanged "+root+"/a", "data watch")
	t.ok(other.Delete(root+"/b", -1))
	t.equal(t.event(deleted), "EventNodeDeleted "+root+"/b", "a watch on what is deleted")
	t.equal(t.event(children), "EventNodeChildrenChanged "+root, "child watch")
	_, err = other.Create(root+"/c", nil, 0, open)
	t.ok(err)
	t.equal(t.event(created), "EventNodeCreated "+root+"/c", "a watch on what is created")
}

func sessionSurvives(t *T) {
	conn, states := t.connectAndWatch()
	root := t.root(conn, "/go-session")
	_, err := conn.Create(root+"/eph", []byte("x"), zk.FlagEphemeral, open)
	t.ok(err)
	session := conn.SessionID()
	for round := 0; round < 2; round++ {
		for len(states) > 0 {
			<-states
		}
		t.restart()
		for state := zk.StateUnknown; state != zk.StateHasSession; {
			select {
			case event := <-states:
				state = event.State
				t.check(state != zk.StateExpired, "the session does not expire")
			case <-time.After(limit):
				t.fail("no session after the restart")
			}
		}
		t.equal(conn.SessionID(), session, "session")
		data, stat, err := conn.Get(root + "/eph")
		t.ok(err)
		t.equal(string(data), "x", "the ephemeral node")
		t.equal(stat.EphemeralOwner, session, "its owner")
	}
	other := t.connect()
	_, _, gone, err := other.ExistsW(root + "/eph")
	t.ok(err)
	conn.Close()
	t.equal(t.event(gone), "EventNodeDeleted "+root+"/eph", "a closed session takes its node along")
}

// Whatever was acknowledged is there afterwards; what was not may be.
func writesThroughAKill(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-writes")
	var lock sync.Mutex
	acknowledged := map[string]bool{}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for w := 0; w < 4; w++ {
		writer := t.connect()
		wait.Add(1)
		go func(w int) {
			defer wait.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d-%d", w, i)
				if _, err := writer.Create(root+"/"+name, nil, 0, open); err == nil {
					lock.Lock()
					acknowledged[name] = true
					lock.Unlock()
				}
			}
		}(w)
	}
	count := func() int {
		lock.Lock()
		defer lock.Unlock()
		return len(acknowledged)
	}
	t.waitUntil("writes before", func() bool { return count() > 200 })
	t.restart()
	before := count()
	t.waitUntil("writes after", func() bool { return count() > before+200 })
	close(stop)
	wait.Wait()
	var children []string
	t.again("children", func() (err error) { children, _, err = conn.Children(root); return })
	sort.Strings(children)
	for name := range acknowledged {
		at := sort.SearchStrings(children, name)
		t.check(at < len(children) && children[at] == name, "acknowledged and there: "+name)
	}
}

func lockThroughAKill(t *T) {
	first, second := t.connect(), t.connect()
	mine, theirs := zk.NewLock(first, "/go-lock", open), zk.NewLock(second, "/go-lock", open)
	t.ok(mine.Lock())
	t.refused(mine.Lock(), zk.ErrDeadlock, "locked twice")
	got := make(chan error, 1)
	go func() { got <- theirs.LockWithData([]byte("second")) }()
	// go-zookeeper gives a lock up when the connection is lost in the middle of a request, but not while it watches.
	t.waitUntil("the second watches the first", func() bool {
		return strings.Contains(t.word("wchs"), "Total watches:1")
	})
	t.restart()
	t.waitUntil("the first is back", func() bool { return first.State() == zk.StateHasSession })
	select {
	case err := <-got:
		t.fail("the second must still wait, but: %v", err)
	default:
	}
	t.again("unlock", mine.Unlock)
	select {
	case err := <-got:
		t.ok(err)
	case <-time.After(limit):
		t.fail("the second never got the lock")
	}
	t.again("one is left", func() error {
		children, _, err := second.Children("/go-lock")
		if err == nil {
			t.equal(len(children), 1, "nodes in the queue")
		}
		return err
	})
	t.ok(theirs.Unlock())
}
