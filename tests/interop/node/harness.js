'use strict';
// Runs node-zookeeper-client's tests, one for each line "NAME PORT" on standard input; ../program.py has the other end.

const readline = require('node:readline');
const assert = require('node:assert');
const zookeeper = require('node-zookeeper-client');

const LIMIT_MS = 15000;
const tests = new Map();
const waiting = [];
let lines = [];

function test(name, run) {
  tests.set(name, run);
}

function nextLine() {
  if (lines.length > 0) return Promise.resolve(lines.shift());
  return new Promise((resolve) => waiting.push(resolve));
}

/** Fails after a while, naming what was waited for. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain: ${what}`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A queue of the events that its watchers were given, as "NODE_CREATED /path". */
class Events {
  constructor() {
    this.come = [];
    this.wanted = [];
    this.watcher = (event) => {
      const text = `${event.getName()} ${event.getPath()}`;
      if (this.wanted.length > 0) this.wanted.shift()(text);
      else this.come.push(text);
    };
  }

  next() {
    const event = this.come.length > 0 ? this.come.shift() : new Promise((resolve) => this.wanted.push(resolve));
    return within(Promise.resolve(event), 'an event');
  }
}

/** A client whose calls are promises. A call with several results gives them as an array. */
class Client {
  constructor(address) {
    // Three times the same server: its next try comes soon after a lost one.
    this.inner = zookeeper.createClient([address, address, address].join(','), {
      sessionTimeout: 10000,
      spinDelay: 50,
      retries: 1,
    });
    for (const name of ['create', 'remove', 'removeRecursive', 'exists', 'getChildren', 'getData', 'setData', 'getACL', 'setACL', 'mkdirp']) {
      this[name] = (...args) => within(this.call(name, args), `${name} ${args[0]}`);
    }
  }

  call(name, args) {
    return new Promise((resolve, reject) => {
      this.inner[name](...args, (error, ...results) => {
        if (error) reject(error);
        else resolve(results.length > 1 ? results : results[0]);
      });
    });
  }

  connect() {
    const connected = new Promise((resolve) => this.inner.once('connected', resolve));
    this.inner.connect();
    return within(connected, 'a connection');
  }

  /** Repeats what a lost connection may interrupt. */
  async again(name, ...args) {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
      try {
        return await this[name](...args);
      } catch (error) {
        if (error.name !== 'CONNECTION_LOSS' || Date.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  transaction(build) {
    const transaction = this.inner.transaction();
    build(transaction);
    return new Promise((resolve) => transaction.commit((error, results) => resolve({ error, results })));
  }

  get session() {
    return this.inner.getSessionId().toString('hex');
  }
}

class Test {
  constructor(port) {
    this.address = `127.0.0.1:${port}`;
    this.clients = [];
  }

  async connect() {
    const client = new Client(this.address);
    this.clients.push(client);
    await client.connect();
    return client;
  }

  /** kill -9 of the server, then a new start on the same directory. Returns once it serves again. */
  async restart() {
    console.log('@restart');
    assert.strictEqual(await nextLine(), 'done');
  }

  async close() {
    for (const client of this.clients) {
      const gone = new Promise((resolve) => client.inner.once('disconnected', resolve));
      client.inner.close();
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 1000))]);
    }
  }
}

/** The call must fail with this error of ZooKeeper's. */
async function refused(promise, name) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.name, name);
    return;
  }
  assert.fail(`went through, but expected ${name}`);
}

async function main() {
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    if (waiting.length > 0) waiting.shift()(line);
    else lines.push(line);
  }).on('close', () => process.exit(0));
  for (;;) {
    const [name, port] = (await nextLine()).split(' ');
    const t = new Test(port);
    let answer = '@passed';
    try {
      await tests.get(name)(t);
    } catch (error) {
      answer = `@failed ${error.name}: ${error.message} ${(error.stack || '').split('\n').slice(1, 4).join(' ')}`;
    }
    await t.close();
    console.log(answer.replace(/\n/g, ' '));
  }
}

module.exports = { test, main, refused, Events, assert, zookeeper };
