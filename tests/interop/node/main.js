'use strict';
// node-zookeeper-client: nodes, watches, transactions, permissions and sessions.

const crypto = require('node:crypto');
const { test, main, refused, Events, assert, zookeeper } = require('./harness');

const { CreateMode, ACL, Permission, Id } = zookeeper;
const bytes = (text) => Buffer.from(text);

test('nodes_stats_and_errors', async (t) => {
  const client = await t.connect();
  await client.mkdirp('/node-basic/a/b');
  assert.strictEqual(await client.create('/node-basic/n', bytes('one')), '/node-basic/n');
  await refused(client.create('/node-basic/n'), 'NODE_EXISTS');
  await refused(client.create('/node-basic/no/parent'), 'NO_NODE');
  const [data, stat] = await client.getData('/node-basic/n');
  assert.strictEqual(data.toString(), 'one');
  assert.deepStrictEqual([stat.version, stat.dataLength, stat.numChildren], [0, 3, 0]);
  assert.ok(stat.czxid.equals(stat.mzxid) && stat.czxid.equals(stat.pzxid));
  const changed = await client.setData('/node-basic/n', bytes('second'), 0);
  assert.strictEqual(changed.version, 1);
  await refused(client.setData('/node-basic/n', bytes('third'), 0), 'BAD_VERSION');
  await refused(client.remove('/node-basic/a', -1), 'NOT_EMPTY');
  await refused(client.remove('/node-basic/n', 0), 'BAD_VERSION');
  const [children, parent] = await client.getChildren('/node-basic');
  assert.deepStrictEqual(children.sort(), ['a', 'n']);
  assert.deepStrictEqual([parent.cversion, parent.numChildren], [2, 2]);
  await client.remove('/node-basic/n', 1);
  assert.strictEqual(await client.exists('/node-basic/n'), null);
  await client.remove('/node-basic/a/b');
  await client.removeRecursive('/node-basic');
  assert.strictEqual(await client.exists('/node-basic'), null);
});

test('two_hundred_creates_at_once_come_back_in_order', async (t) => {
  const client = await t.connect();
  await client.create('/node-sequence');
  const paths = await Promise.all(
    Array.from({ length: 200 }, () => client.create('/node-sequence/n-', CreateMode.PERSISTENT_SEQUENTIAL)),
  );
  const expected = Array.from({ length: 200 }, (_, i) => `/node-sequence/n-${String(i).padStart(10, '0')}`);
  assert.deepStrictEqual(paths, expected);
  const large = crypto.randomBytes(900000);
  await client.setData('/node-sequence', large);
  const [found] = await client.getData('/node-sequence');
  assert.ok(large.equals(found));
});

test('watches_fire_once', async (t) => {
  const [client, other] = [await t.connect(), await t.connect()];
  const [data, children, exists] = [new Events(), new Events(), new Events()];
  await client.create('/node-watches');
  await client.getChildren('/node-watches', children.watcher);
  assert.strictEqual(await client.exists('/node-watches/n', exists.watcher), null);
  await other.create('/node-watches/n', bytes('1'));
  assert.strictEqual(await exists.next(), 'NODE_CREATED /node-watches/n');
  assert.strictEqual(await children.next(), 'NODE_CHILDREN_CHANGED /node-watches');
  await client.getData('/node-watches/n', data.watcher);
  await other.setData('/node-watches/n', bytes('2'));
  await other.setData('/node-watches/n', bytes('3'));
  assert.strictEqual(await data.next(), 'NODE_DATA_CHANGED /node-watches/n');
  await client.getData('/node-watches/n', data.watcher);
  await other.remove('/node-watches/n');
  assert.strictEqual(await data.next(), 'NODE_DELETED /node-watches/n');
  await client.exists('/');
  assert.deepStrictEqual([data.come, children.come, exists.come], [[], [], []]);
});

test('watches_survive_a_killed_server', async (t) => {
  const [client, other] = [await t.connect(), await t.connect()];
  const [data, children, exists] = [new Events(), new Events(), new Events()];
  await client.mkdirp('/node-rewatch/n');
  await client.getData('/node-rewatch/n', data.watcher);
  await client.getChildren('/node-rewatch', children.watcher);
  await client.exists('/node-rewatch/new', exists.watcher);
  await t.restart();
  await client.again('exists', '/');
  await other.again('setData', '/node-rewatch/n', bytes('2'));
  assert.strictEqual(await data.next(), 'NODE_DATA_CHANGED /node-rewatch/n');
  await other.create('/node-rewatch/new');
  assert.strictEqual(await exists.next(), 'NODE_CREATED /node-rewatch/new');
  assert.strictEqual(await children.next(), 'NODE_CHILDREN_CHANGED /node-rewatch');
});

test('transactions_do_all_or_nothing', async (t) => {
  const client = await t.connect();
  await client.create('/node-transaction', bytes('0'));
  const well = await client.transaction((transaction) => transaction
    .check('/node-transaction', 0)
    .create('/node-transaction/a', bytes('x'))
    .setData('/node-transaction', bytes('1'), 0)
    .create('/node-transaction/b', CreateMode.EPHEMERAL)
    .remove('/node-transaction/a', 0));
  assert.ifError(well.error);
  assert.strictEqual(well.results.length, 5);
  assert.strictEqual(well.results[1].path, '/node-transaction/a');
  const ill = await client.transaction((transaction) => transaction
    .setData('/node-transaction', bytes('2'), -1)
    .check('/node-transaction', 7)
    .remove('/node-transaction/b', -1));
  assert.strictEqual(ill.error.name, 'BAD_VERSION');
  assert.deepStrictEqual(ill.results.map((result) => result.err), [0, -103, -2]);
  const [data, stat] = await client.getData('/node-transaction');
  assert.deepStrictEqual([data.toString(), stat.version], ['1', 1]);
  assert.deepStrictEqual((await client.getChildren('/node-transaction'))[0], ['b']);
});

test('digest_acl_keeps_others_out', async (t) => {
  const [owner, other] = [await t.connect(), await t.connect()];
  const hash = crypto.createHash('sha1').update('amy:secret').digest('base64');
  const acls = [new ACL(Permission.ALL, new Id('digest', `amy:${hash}`)), new ACL(Permission.READ, Id.ANYONE_ID_UNSAFE)];
  owner.inner.addAuthInfo('digest', bytes('amy:secret'));
  await owner.create('/node-acl', bytes('x'), acls, CreateMode.PERSISTENT);
  await owner.create('/node-acl/mine', bytes('y'), ACL.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
  assert.strictEqual((await other.getData('/node-acl'))[0].toString(), 'x');
  await refused(other.setData('/node-acl', bytes('z')), 'NO_AUTH');
  await refused(other.create('/node-acl/theirs'), 'NO_AUTH');
  await refused(other.getData('/node-acl/mine'), 'NO_AUTH');
  const [found, stat] = await owner.getACL('/node-acl/mine');
  assert.deepStrictEqual([found.length, found[0].id.scheme, found[0].permission, stat.aversion], [1, 'digest', Permission.ALL, 0]);
  other.inner.addAuthInfo('digest', bytes('amy:secret'));
  await other.setData('/node-acl/mine', bytes('z'));
  await t.restart();
  // What the client sends first may overtake its own auth; what follows may not.
  await owner.again('exists', '/');
  await owner.again('setData', '/node-acl', bytes('after'));
  await owner.setACL('/node-acl', ACL.READ_ACL_UNSAFE, 0);
  await refused(owner.setACL('/node-acl', ACL.OPEN_ACL_UNSAFE, 1), 'NO_AUTH');
});

test('ephemerals_outlive_a_killed_server_and_end_with_their_session', async (t) => {
  const [client, other] = [await t.connect(), await t.connect()];
  const session = client.session;
  await client.create('/node-ephemeral', bytes('x'), CreateMode.EPHEMERAL);
  await refused(client.create('/node-ephemeral/child'), 'NO_CHILDREN_FOR_EPHEMERALS');
  for (let round = 0; round < 2; round++) {
    await t.restart();
    const stat = await client.again('exists', '/node-ephemeral');
    assert.strictEqual(stat.ephemeralOwner.toString('hex'), session);
    assert.strictEqual(client.session, session);
  }
  const gone = new Events();
  await other.again('exists', '/node-ephemeral', gone.watcher);
  client.inner.close();
  assert.strictEqual(await gone.next(), 'NODE_DELETED /node-ephemeral');
});

test('writes_through_a_killed_server_are_not_lost', async (t) => {
  const client = await t.connect();
  await client.create('/node-writes');
  const acknowledged = [];
  let going = true;
  const writer = async (w) => {
    const mine = await t.connect();
    for (let i = 0; going; i++) {
      try {
        await mine.create(`/node-writes/${w}-${i}`);
        acknowledged.push(`${w}-${i}`);
      } catch (error) {
        // The client repeats a create whose answer was lost, and then finds its own node there.
        if (error.name !== 'CONNECTION_LOSS' && error.name !== 'NODE_EXISTS') throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  };
  const writers = [0, 1, 2].map(writer);
  const grown = async (by) => {
    const target = acknowledged.length + by;
    const end = Date.now() + 15000;
    while (acknowledged.length < target) {
      assert.ok(Date.now() < end, 'writes are acknowledged');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await grown(150);
  await t.restart();
  await grown(150);
  going = false;
  await Promise.all(writers);
  const children = new Set((await client.again('getChildren', '/node-writes'))[0]);
  assert.deepStrictEqual(acknowledged.filter((name) => !children.has(name)), []);
});

main();
