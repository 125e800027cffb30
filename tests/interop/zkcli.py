"""Apache ZooKeeper's shell (zkCli, its class ZooKeeperMain), driven through its standard input and one command at a
time: operators' habits and scripts rest on what it prints."""

import contextlib
import re
import subprocess

from harness import equal, java_command, start_process, test, wait_until

MAIN = "org.apache.zookeeper.ZooKeeperMain"
STAT = r"""cZxid = 0x[0-9a-f]+
ctime = .+
mZxid = 0x[0-9a-f]+
mtime = .+
pZxid = 0x[0-9a-f]+
cversion = {cversion}
dataVersion = {version}
aclVersion = {aversion}
ephemeralOwner = {owner}
dataLength = {length}
numChildren = {children}"""
# The shell answers this at once, with a line that no other command prints.
MARK = "printwatches"
MARKED = "printwatches is on"


def stat(version=0, cversion=0, aversion=0, owner="0x0", length=0, children=0):
    return STAT.format(**locals())


class Shell:
    """One shell with its session; `say` gives it a line and answers what it printed."""

    def __init__(self, server):
        command = java_command(MAIN, "-waitforconnection", "-server", f"127.0.0.1:{server.port}")
        pipe = subprocess.PIPE
        self.process = start_process(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        # The greeting, and the event of the connection in it.
        wait_until(lambda: "state:SyncConnected" in self.say(""), "the shell is connected")

    def say(self, line):
        self.process.stdin.write(f"{line}\n{MARK}\n")
        self.process.stdin.flush()
        printed = []
        for text in self.process.stdout:
            if text.rstrip("\n") == MARKED:
                return "\n".join(printed).strip("\n")
            printed.append(text.rstrip("\n"))
        raise AssertionError(f"the shell ended after {line!r}: {printed[-5:]}")

    def expect(self, line, pattern):
        found = self.say(line)
        assert re.fullmatch(pattern, found, re.DOTALL), f"{line}\n--- expected\n{pattern}\n--- found\n{found}"

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(10)


@contextlib.contextmanager
def shell(server):
    opened = Shell(server)
    yield opened
    equal(opened.quit(), 0, "exit code")


def one_shot(server, *arguments):
    """Runs one command; answers (exit code, all output)."""
    command = java_command(MAIN, "-server", f"127.0.0.1:{server.port}", *arguments)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.returncode, done.stdout


@test
def create_get_ls(server):
    with shell(server) as zk:
        zk.expect("create /cli hello", "Created /cli")
        zk.expect("create -s /cli/s- one", "Created /cli/s-0000000000")
        zk.expect("create -e /cli/e two", "Created /cli/e")
        zk.expect("create -c /cli/c three", "Created /cli/c")
        zk.expect("create -t 60000 /cli/t four", "Created /cli/t")
        zk.expect("create -s -e /cli/se-", r"Created /cli/se-0000000004")
        zk.expect('create "/cli/with blank" "some data"', "Created /cli/with blank")
        zk.expect("create /cli again", "Node already exists: /cli")
        zk.expect("create /cli/no/parent x", "Node does not exist: /cli/no/parent")
        zk.expect("create /cli/e/child x", "Ephemerals cannot have children: /cli/e/child")
        zk.expect("get /cli", "hello")
        zk.expect("get -s /cli", "hello\n" + stat(cversion=6, length=5, children=6))
        zk.expect("get -b /cli", "aGVsbG8=")
        zk.expect("get -x /cli", r".*68 65 6c 6c 6f +\|hello +\|.*")
        zk.expect('get "/cli/with blank"', "some data")
        zk.expect("get /missing", "Node does not exist: /missing")
        children = r"\[c, e, s-0000000000, se-0000000004, t, with blank\]"
        zk.expect("ls /cli", children)
        zk.expect("ls -s /cli", children + "\n" + stat(cversion=6, length=5, children=6))
        names = ["", "/c", "/e", "/s-0000000000", "/se-0000000004", "/t", "/with blank"]
        zk.expect("ls -R /cli", "\n".join("/cli" + name for name in names))
        zk.expect("ls /missing", "Node does not exist: /missing")
        zk.expect("stat /cli/e", stat(owner="0x[0-9a-f]{8,}", length=3))
        zk.expect("stat /cli/t", stat(length=4))


@test
def set_stat_delete(server):
    with shell(server) as zk:
        zk.expect("create /set a", "Created /set")
        zk.expect("set /set bc", "")
        zk.expect("set -s -v 1 /set def", stat(version=2, length=3))
        zk.expect("set -v 1 /set x", "version No is not valid : /set")
        zk.expect("stat /set", stat(version=2, length=3))
        zk.expect("stat /missing", "Node does not exist: /missing")
        zk.expect("set /missing x", "Node does not exist: /missing")
        zk.expect("sync /set", "Sync is OK")
        zk.expect("create /set/child", "Created /set/child")
        zk.expect("delete /set", "Node not empty: /set")
        zk.expect("delete -v 3 /set/child", "version No is not valid : /set/child")
        zk.expect("delete -v 0 /set/child", "")
        zk.expect("delete /set/child", "Node does not exist: /set/child")
        for i in range(25):
            zk.say(f"create -s /set/n- {i}")
        zk.expect("getAllChildrenNumber /set", "25")
        zk.expect("deleteall /set -b 10", "")
        zk.expect("stat /set", "Node does not exist: /set")


@test
def access_control(server):
    with shell(server) as zk, shell(server) as stranger:
        zk.expect("create /cli-acl x", "Created /cli-acl")
        zk.expect("getAcl /cli-acl", "'world,'anyone\n: cdrwa")
        zk.expect("addauth digest bob:pw", "")
        zk.expect("whoami", "Auth scheme: User\n(digest: bob\nip: 127.0.0.1|ip: 127.0.0.1\ndigest: bob)")
        zk.expect("setAcl -s /cli-acl auth::cdrwa", stat(aversion=1, length=1))
        digest = r"'digest,'bob:ikIaKsbtGweaHnb/jKn7OHqbunM=\n: cdrwa"
        zk.expect("getAcl /cli-acl", digest)
        zk.expect("getAcl -s /cli-acl", digest + "\n" + stat(aversion=1, length=1))
        stranger.expect("get /cli-acl", "Insufficient permission : /cli-acl")
        stranger.expect("setAcl /cli-acl world:anyone:cdrwa", "Insufficient permission : /cli-acl")
        zk.expect("setAcl -v 0 /cli-acl world:anyone:r", "version No is not valid : /cli-acl")
        zk.expect("setAcl /cli-acl world:anyone:r,ip:10.0.0.1:cdrwa", "")
        stranger.expect("get /cli-acl", "x")
        stranger.expect("set /cli-acl y", "Insufficient permission : /cli-acl")
        zk.expect("create /cli-acl-2 x nonsense:id:r", ".*Acl is not valid : /cli-acl-2")
        zk.expect("create /cli-acl-tree x", "Created /cli-acl-tree")
        zk.expect("create /cli-acl-tree/a x", "Created /cli-acl-tree/a")
        zk.expect("setAcl -R /cli-acl-tree world:anyone:cdra", "")
        zk.expect("getAcl /cli-acl-tree/a", "'world,'anyone\n: cdra")


@test
def numbers_and_sessions(server):
    with shell(server) as zk:
        zk.expect("create /cli-numbers", "Created /cli-numbers")
        zk.expect("create -e /cli-numbers/a", "Created /cli-numbers/a")
        zk.expect("create /cli-numbers/b", "Created /cli-numbers/b")
        zk.expect("create -e /cli-numbers/b/c", "Created /cli-numbers/b/c")
        zk.expect("getEphemerals", r"\[(/cli-numbers/a, /cli-numbers/b/c|/cli-numbers/b/c, /cli-numbers/a)\]")
        zk.expect("getEphemerals /cli-numbers/b", r"\[/cli-numbers/b/c\]")
        zk.expect("getAllChildrenNumber /cli-numbers", "3")
        zk.expect("whoami", "Auth scheme: User\nip: 127.0.0.1")
        zk.expect("version", r"ZooKeeper CLI version: 3\.9\.5-.*")
        zk.expect("config", "")
        zk.expect("history", ".* - version.*")
    with shell(server) as zk:
        zk.expect("ls /cli-numbers", r"\[b\]")
        zk.expect("getEphemerals", r"\[\]")


@test
def quotas(server):
    with shell(server) as zk:
        zk.expect("create /cli-quota x", "Created /cli-quota")
        zk.expect("listquota /cli-quota", ".*quota for /cli-quota does not exist.")
        zk.expect("setquota -n 5 /cli-quota", "")
        limits = r".*Output quota for /cli-quota count=5,.*\nOutput stat for /cli-quota count=.*"
        zk.expect("listquota /cli-quota", limits)
        zk.expect("create /cli-quota/a x", "Created /cli-quota/a")
        zk.expect("listquota /cli-quota", ".*Output stat for /cli-quota count=2,bytes=2.*")
        zk.expect("delquota -n /cli-quota", "")
        zk.expect("delquota /cli-quota", "")
        zk.expect("listquota /cli-quota", ".*quota for /cli-quota does not exist.")


@test
def watches_are_printed(server):
    with shell(server) as zk:
        zk.expect("create /cli-watch", "Created /cli-watch")
        zk.expect("addWatch /cli-watch", "")
        printed = [zk.say("create /cli-watch/a x"), zk.say("set /cli-watch/a y"), zk.say("removewatches /cli-watch")]

        def said(text):
            printed.append(zk.say(""))
            return text in "\n".join(printed)

        for kind, path in (
            ("NodeCreated", "/cli-watch/a"),
            ("NodeDataChanged", "/cli-watch/a"),
            ("PersistentWatchRemoved", "/cli-watch"),
        ):
            wait_until(lambda: said(f"state:SyncConnected type:{kind} path:{path} "), f"the shell prints {kind}")


@test
def one_command_and_its_exit_code(server):
    for arguments, code, pattern in (
        (("create", "/one-shot", "x"), 0, "Created /one-shot"),
        (("get", "/one-shot"), 0, r"(?m)^x$"),
        (("get", "/missing"), 1, "Node does not exist: /missing"),
        (("nonsense",), 127, "Command not found"),
    ):
        found, output = one_shot(server, *arguments)
        equal(found, code, f"exit code of {arguments}")
        assert re.search(pattern, output), f"{arguments}: {output}"


@test
def chroot(server):
    with shell(server) as zk:
        zk.expect("create /cli-chroot x", "Created /cli-chroot")
    command = java_command(MAIN, "-server", f"127.0.0.1:{server.port}/cli-chroot", "create", "/inside", "y")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert done.returncode == 0 and "Created /inside" in done.stdout, done.stdout
    with shell(server) as zk:
        zk.expect("get /cli-chroot/inside", "y")
