// Runs go-zookeeper's tests, one for each line "NAME PORT" on standard input; ../program.py has the other end.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

const limit = 15 * time.Second

var tests = map[string]func(*T){}

func test(name string, run func(*T)) { tests[name] = run }

// T is one running test: it knows the server, and closes the clients that the test opened.
type T struct {
	server string
	in     *bufio.Scanner
	conns  []*zk.Conn
}

// failure is how a test ends early.
type failure struct{ why string }

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		t := &T{server: "127.0.0.1:" + words[1], in: in}
		if why := t.run(tests[words[0]]); why != "" {
			fmt.Println("@failed " + strings.ReplaceAll(why, "\n", " "))
		} else {
			fmt.Println("@passed")
		}
	}
}

func (t *T) run(body func(*T)) (why string) {
	defer func() {
		for _, conn := range t.conns {
			conn.Close()
		}
		if caught := recover(); caught != nil {
			known, ok := caught.(failure)
			if !ok {
				panic(caught)
			}
			why = known.why
		}
	}()
	body(t)
	return ""
}

func (t *T) fail(format string, a ...interface{}) { panic(failure{fmt.Sprintf(format, a...)}) }

func (t *T) check(holds bool, what string) {
	if !holds {
		t.fail("not so: %s", what)
	}
}

func (t *T) equal(found, expected interface{}, what string) {
	if fmt.Sprint(found) != fmt.Sprint(expected) {
		t.fail("%s: expected %v, found %v", what, expected, found)
	}
}

func (t *T) ok(err error) {
	if err != nil {
		t.fail("unexpected error: %v", err)
	}
}

func (t *T) refused(err, expected error, what string) {
	if !errors.Is(err, expected) {
		t.fail("%s: expected %v, found %v", what, expected, err)
	}
}

func (t *T) waitUntil(what string, holds func() bool) {
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.fail("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// event is the next event of a watch, as "EventNodeCreated /path".
func (t *T) event(watch <-chan zk.Event) string {
	select {
	case event := <-watch:
		if event.Err != nil {
			t.fail("the watch ended with %v", event.Err)
		}
		return event.Type.String() + " " + event.Path
	case <-time.After(limit):
		t.fail("no event came")
		return ""
	}
}

// word is the server's answer to a four-letter word; empty if nobody answers.
func (t *T) word(word string) string {
	conn, err := net.DialTimeout("tcp", t.server, limit)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	_, _ = io.WriteString(conn, word)
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

// connect opens a session; its states can be read from the channel.
func (t *T) connect() *zk.Conn {
	conn, _ := t.connectAndWatch()
	return conn
}

func (t *T) connectAndWatch() (*zk.Conn, <-chan zk.Event) {
	conn, states, err := zk.Connect([]string{t.server}, 10*time.Second, zk.WithLogger(silent{}))
	t.ok(err)
	t.conns = append(t.conns, conn)
	t.waitUntil("a session", func() bool { return conn.State() == zk.StateHasSession })
	return conn, states
}

// restart kills the server with -9 and starts it again; a write that it interrupts fails, once.
func (t *T) restart() {
	fmt.Println("@restart")
	t.check(t.in.Scan() && t.in.Text() == "done", "the harness restarts the server")
}

// again repeats what a lost connection may interrupt.
func (t *T) again(what string, attempt func() error) {
	t.waitUntil(what, func() bool {
		err := attempt()
		lost := errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer)
		if err != nil && !lost {
			t.fail("%s: %v", what, err)
		}
		return err == nil
	})
}

// root makes the node below which a test keeps.
func (t *T) root(conn *zk.Conn, path string) string {
	_, err := conn.Create(path, nil, 0, open)
	t.ok(err)
	return path
}

var open = zk.WorldACL(zk.PermAll)
