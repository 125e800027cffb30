package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

func init() {
	test("nodes_stats_and_errors", nodesStatsAndErrors)
	test("sequence_numbers_from_many_at_once", sequenceNumbers)
	test("multi_does_all_or_nothing", multi)
	test("ttl_and_container_nodes", ttlAndContainer)
	test("digest_acl_keeps_others_out", digestACL)
	test("large_values", largeValues)
	test("four_letter_words_parse", fourLetterWords)
	test("reconfiguration_is_refused", reconfiguration)
}

func nodesStatsAndErrors(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-nodes")
	path := root + "/ü node"
	found, err := conn.Create(path, []byte("one"), 0, open)
	t.ok(err)
	t.equal(found, path, "created")
	_, err = conn.Create(path, nil, 0, open)
	t.refused(err, zk.ErrNodeExists, "create again")
	_, err = conn.Create(root+"/no/parent", nil, 0, open)
	t.refused(err, zk.ErrNoNode, "create without a parent")

	data, stat, err := conn.Get(path)
	t.ok(err)
	t.equal(string(data), "one", "data")
	t.equal(stat.DataLength, 3, "length")
	t.check(stat.Czxid == stat.Mzxid && stat.Czxid == stat.Pzxid, "all zxids are that of the create")
	changed, err := conn.Set(path, []byte("second"), stat.Version)
	t.ok(err)
	t.equal(changed.Version, 1, "version")
	t.check(changed.Mzxid > stat.Mzxid && changed.Czxid == stat.Czxid, "only mzxid moved")
	_, err = conn.Set(path, nil, 0)
	t.refused(err, zk.ErrBadVersion, "set at an old version")

	children, parent, err := conn.Children(root)
	t.ok(err)
	t.equal(children, "[ü node]", "children")
	t.equal(parent.Cversion, 1, "cversion")
	t.refused(conn.Delete(root, -1), zk.ErrNotEmpty, "delete of a parent")
	t.refused(conn.Delete(path, 0), zk.ErrBadVersion, "delete at an old version")
	t.ok(conn.Delete(path, 1))
	exists, _, err := conn.Exists(path)
	t.ok(err)
	t.check(!exists, "gone")

	_, err = conn.Create("/go-nodes/eph", nil, zk.FlagEphemeral, open)
	t.ok(err)
	_, err = conn.Create("/go-nodes/eph/child", nil, 0, open)
	t.refused(err, zk.ErrNoChildrenForEphemerals, "child of an ephemeral")
	_, stat, err = conn.Exists("/go-nodes/eph")
	t.ok(err)
	t.equal(stat.EphemeralOwner, conn.SessionID(), "owner")
	synced, err := conn.Sync(root)
	t.ok(err)
	t.equal(synced, root, "sync")
}

func sequenceNumbers(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-sequence")
	const writers, each = 4, 50
	var wait sync.WaitGroup
	var lock sync.Mutex
	var problems []error
	names := map[string]bool{}
	for w := 0; w < writers; w++ {
		other := t.connect()
		wait.Add(1)
		go func() {
			defer wait.Done()
			last := ""
			for i := 0; i < each; i++ {
				name, err := other.Create(root+"/n-", nil, zk.FlagSequence, open)
				lock.Lock()
				if err != nil || name <= last || names[name] {
					problems = append(problems, fmt.Errorf("%q after %q: %v", name, last, err))
				}
				names[name] = true
				lock.Unlock()
				last = name
			}
		}()
	}
	wait.Wait()
	t.equal(problems, "[]", "problems")
	children, _, err := conn.Children(root)
	t.ok(err)
	sort.Strings(children)
	t.equal(len(children), writers*each, "children")
	t.equal(children[0], "n-0000000000", "the first")
	t.equal(children[len(children)-1], fmt.Sprintf("n-%010d", writers*each-1), "the last")

	protected, err := conn.CreateProtectedEphemeralSequential(root+"/p-", nil, open)
	t.ok(err)
	t.check(strings.HasPrefix(protected, root+"/_c_") && strings.HasSuffix(protected, "-p-0000000200"), protected)
}

func multi(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-multi")
	t.root(conn, root+"/old")
	results, err := conn.Multi(
		&zk.CreateRequest{Path: root + "/new", Data: []byte("x"), Acl: open},
		&zk.CreateRequest{Path: root + "/new/s-", Acl: open, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: root + "/new", Data: []byte("y"), Version: 0},
		&zk.CheckVersionRequest{Path: root + "/new", Version: 1},
		&zk.DeleteRequest{Path: root + "/old", Version: -1},
	)
	t.ok(err)
	t.equal(len(results), 5, "results")
	t.equal(results[1].String, root+"/new/s-0000000000", "the name of the sequential node")
	t.equal(results[2].Stat.Version, 1, "the set's version")
	_, stat, err := conn.Exists(root + "/new")
	t.ok(err)
	_, sequential, err := conn.Exists(root + "/new/s-0000000000")
	t.ok(err)
	t.equal(sequential.Czxid, stat.Mzxid, "one zxid for all of it")

	results, err = conn.Multi(
		&zk.SetDataRequest{Path: root + "/new", Data: []byte("z"), Version: -1},
		&zk.CheckVersionRequest{Path: root + "/new", Version: 7},
		&zk.DeleteRequest{Path: root + "/new/s-0000000000", Version: -1},
	)
	t.refused(err, zk.ErrBadVersion, "a check that fails")
	t.equal(len(results), 3, "a result for each")
	data, after, err := conn.Get(root + "/new")
	t.ok(err)
	t.equal(string(data), "y", "nothing was set")
	t.equal(after.Version, 1, "nothing was counted")
	exists, _, err := conn.Exists(root + "/new/s-0000000000")
	t.ok(err)
	t.check(exists, "nothing was deleted")
}

func ttlAndContainer(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-ttl")
	path, err := conn.CreateTTL(root+"/t", []byte("x"), zk.FlagTTL, open, time.Hour)
	t.ok(err)
	t.equal(path, root+"/t", "path")
	_, stat, err := conn.Exists(path)
	t.ok(err)
	t.equal(stat.EphemeralOwner, 0, "nobody owns it")
	path, err = conn.CreateTTL(root+"/s-", nil, zk.FlagPersistentSequentialWithTTL, open, time.Hour)
	t.ok(err)
	t.equal(path, root+"/s-0000000001", "a sequential node with a TTL")
	_, err = conn.CreateContainer(root+"/c", nil, zk.FlagContainer, open)
	t.ok(err)
	_, stat, err = conn.Exists(root + "/c")
	t.ok(err)
	t.equal(stat.EphemeralOwner, 0, "nobody owns a container")
	_, err = conn.Create(root+"/c/child", nil, 0, open)
	t.ok(err)
	_, err = conn.CreateTTL(root+"/zero", nil, zk.FlagTTL, open, 0)
	t.refused(err, zk.ErrBadArguments, "a TTL of nothing")
}

func digestACL(t *T) {
	conn, other := t.connect(), t.connect()
	root := t.root(conn, "/go-acl")
	t.ok(conn.AddAuth("digest", []byte("amy:secret")))
	_, err := conn.Create(root+"/mine", []byte("x"), 0, zk.AuthACL(zk.PermAll))
	t.ok(err)
	_, err = conn.Create(root+"/read", []byte("x"), 0, append(zk.DigestACL(zk.PermAll, "amy", "secret"), zk.WorldACL(zk.PermRead)...))
	t.ok(err)
	_, _, err = other.Get(root + "/mine")
	t.refused(err, zk.ErrNoAuth, "a stranger's get")
	_, _, err = other.Get(root + "/read")
	t.ok(err)
	_, err = other.Set(root+"/read", nil, -1)
	t.refused(err, zk.ErrNoAuth, "a stranger's set")
	t.ok(other.AddAuth("digest", []byte("amy:wrong")))
	_, _, err = other.Get(root + "/mine")
	t.refused(err, zk.ErrNoAuth, "a wrong password")
	t.ok(other.AddAuth("digest", []byte("amy:secret")))
	_, _, err = other.Get(root + "/mine")
	t.ok(err)

	acl, stat, err := conn.GetACL(root + "/mine")
	t.ok(err)
	t.equal(acl[0].Scheme, "digest", "the scheme that auth stands for")
	changed, err := conn.SetACL(root+"/mine", zk.WorldACL(zk.PermRead), stat.Aversion)
	t.ok(err)
	t.equal(changed.Aversion, 1, "aversion")
	_, _, err = t.connect().Get(root + "/mine")
	t.ok(err)
	_, err = conn.SetACL(root+"/mine", open, 1)
	t.refused(err, zk.ErrNoAuth, "nobody may change it any more")
	_, err = conn.Create(root+"/empty", nil, 0, []zk.ACL{})
	t.refused(err, zk.ErrInvalidACL, "no ACL at all")

	// What the client knows how to prove, it proves again to a server that was restarted.
	t.restart()
	t.again("a get with what auth gave", func() error {
		_, _, err := other.Get(root + "/read")
		return err
	})
	t.again("a set with what auth gave", func() error {
		_, err := other.Set(root+"/read", []byte("y"), -1)
		return err
	})
}

func largeValues(t *T) {
	conn := t.connect()
	root := t.root(conn, "/go-large")
	value := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err := conn.Create(root+"/v", value, 0, open)
	t.ok(err)
	data, stat, err := conn.Get(root + "/v")
	t.ok(err)
	t.check(bytes.Equal(data, value), "the same million bytes")
	t.equal(stat.DataLength, 1_000_000, "length")
	session := conn.SessionID()
	_, err = conn.Set(root+"/v", make([]byte, 1<<20), -1)
	// The server closes while the client may still be writing.
	var whileWriting *net.OpError
	closed := errors.Is(err, zk.ErrConnectionClosed) || errors.As(err, &whileWriting)
	t.check(closed, "more than jute.maxbuffer ends the connection")
	t.again("a get on the same session", func() error {
		data, _, err = conn.Get(root + "/v")
		return err
	})
	t.equal(len(data), len(value), "the old value stays")
	t.equal(conn.SessionID(), session, "the session stays")
}

func fourLetterWords(t *T) {
	conn := t.connect()
	t.root(conn, "/go-words")
	t.equal(zk.FLWRuok([]string{t.server}, limit), "[true]", "ruok")

	stats, well := zk.FLWSrvr([]string{t.oldDate()}, limit)
	t.check(well, fmt.Sprintf("srvr parses: %v", stats[0].Error))
	t.equal(stats[0].Mode, zk.ModeStandalone, "mode")
	t.check(stats[0].NodeCount > 5 && stats[0].Connections >= 1 && stats[0].Received > 0, "figures of srvr")
	t.check(time.Since(stats[0].BuildTime) > 0, "a build time in the past")

	// It calls the whole of cons unread, because it cannot read the line of the connection that asks for it.
	clients, _ := zk.FLWCons([]string{t.server}, limit)
	t.ok(clients[0].Error)
	mine := 0
	for _, client := range clients[0].Clients {
		if client.SessionID == conn.SessionID() {
			mine++
			t.equal(client.Timeout, 10_000, "timeout")
			t.check(client.Received >= 1 && client.Sent >= 1 && client.LastOperation != "", "figures of cons")
		}
	}
	t.equal(mine, 1, "our connection is listed once")
}

// oldDate is the address of something that answers a word as the server does, but with the build's date as ZooKeeper
// wrote it until 3.6: the only form that go-zookeeper reads, and the only thing in which it cannot read 3.9's srvr.
func (t *T) oldDate() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	t.ok(err)
	go func() {
		defer listener.Close()
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		word := make([]byte, 4)
		if _, err := io.ReadFull(client, word); err == nil {
			date := regexp.MustCompile(`built on (\d{4})-(\d\d)-(\d\d) `)
			_, _ = io.WriteString(client, date.ReplaceAllString(t.word(string(word)), "built on $2/$3/$1 "))
		}
	}()
	return listener.Addr().String()
}

func reconfiguration(t *T) {
	conn := t.connect()
	_, err := conn.IncrementalReconfig([]string{"server.2=127.0.0.1:1:2;3"}, nil, -1)
	t.check(err != nil, "a standalone server has no ensemble to change")
	data, _, err := conn.Get("/zookeeper/config")
	t.ok(err)
	t.equal(string(data), "", "nor a configuration of one")
	t.equal(conn.State(), zk.StateHasSession, "state")
}
