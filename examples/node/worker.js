// A worker that does its task only while it leads an election, with nothing but grpc-js.
//
// Its own deadline is (moment before the last accepted KeepAlive was sent) + ttl. Past it, it isn't leader in its own eyes,
// whatever arrives later; and each write goes out with the fencing token, so that the resource can refuse a former leader.

import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const { status } = grpc;
const FATAL = [status.INVALID_ARGUMENT, status.PERMISSION_DENIED, status.UNAUTHENTICATED];
const GONE = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED];
const CHANNEL = { // Notice a dead connection within 15 s, and try again at least every second.
  'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
};

// Fencing tokens and tenures are below 2^53, so a Number holds each exactly.
const definition = loader.loadSync('leasehold/v1/election.proto', {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true,
});
const { ElectionService } = grpc.loadPackageDefinition(definition).leasehold.v1;

// Milliseconds, in steps of ten, on a clock that goes on while the machine is suspended; performance.now() stands still then.
const now = () => os.uptime() * 1000;

// Where nobody reads along facts are JSON, with the names that the server's log has.
const json = process.env.LEASEHOLD_LOG_FORMAT ? process.env.LEASEHOLD_LOG_FORMAT === 'json' : !process.stdout.isTTY;

// Tells a fact of a candidacy, a line. A terminal shows only what isn't known there.
function say(candidacy, fact, fields = {}) {
  if (!json) {
    console.log([fact, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join(' '));
    return;
  }
  const { request: { election, candidate }, service: { tenure }, token } = candidacy;
  const line = { timestamp: new Date().toISOString(), level: 'INFO', message: fact, election, candidate, tenure };
  console.log(JSON.stringify({ ...line, ...(token ? { token } : {}), ...fields }));
}

// The replicas: the next address, over a new connection, when the one in use is gone, and the highest tenure seen.
class Service {
  at = 0;
  tenure = 0;

  constructor(endpoints) {
    this.addresses = endpoints.split(',').map((endpoint) => endpoint.trim().replace(/^http:\/\//, ''));
    this.connect();
  }

  connect() {
    const address = this.addresses[this.at % this.addresses.length];
    this.client = new ElectionService(address, grpc.credentials.createInsecure(), CHANNEL);
  }

  // Goes on if the replica is gone, unless somebody did since `at`. A stream that is open stays until it breaks.
  failed(code, at) {
    if (at !== this.at || !GONE.includes(code)) return;
    this.client.close();
    this.at += 1;
    this.connect();
  }

  // Refuses the word of a replica that was replaced since.
  admits(tenure, at) {
    this.tenure = Math.max(this.tenure, tenure);
    if (tenure < this.tenure) this.failed(status.UNAVAILABLE, at);
    return tenure === this.tenure;
  }

  // The answer to a unary call, or null if it fails, takes longer than this, or comes from a replica that was replaced.
  call(method, request, milliseconds) {
    const { at } = this;
    return new Promise((resolve) => {
      const deadline = Date.now() + milliseconds;
      this.client[method](request, { deadline }, (error, answer) => {
        if (error) this.failed(error.code, at);
        resolve(!error && this.admits(answer.tenure, at) ? answer : null);
      });
    });
  }
}

// One candidacy from Campaign to its end. Once `done` is aborted, its reason says why it ended: it leads no more, for good.
class Candidacy {
  done = new AbortController();
  ticket = null;
  token = 0;
  deadline = 0;

  constructor(service, request, ttl) {
    Object.assign(this, { service, request, ttl });
    this.elected = new Promise((resolve) => { this.onElected = resolve; });
    this.follow();
  }

  get over() {
    return this.done.signal.aborted;
  }

  // The fencing token if this candidacy leads at this moment, else 0. Call it before each step of the task.
  check() {
    if (this.token && now() >= this.deadline) this.done.abort('DEADLINE');
    return this.over ? 0 : this.token;
  }

  // Reads the Campaign stream; opens it again with the ticket when it breaks, which extends nothing.
  follow() {
    if (this.over) return;
    const sent = now();
    const { at, client } = this.service;
    const stream = client.campaign(this.ticket ? { ticket: this.ticket } : this.request);
    const cancel = () => stream.cancel();
    this.done.signal.addEventListener('abort', cancel);
    const silent = setTimeout(() => { // The first message comes at once, from a replica that is there.
      this.service.failed(status.DEADLINE_EXCEEDED, at);
      cancel();
    }, 3000).unref();
    stream.on('data', (response) => {
      clearTimeout(silent);
      if (this.service.admits(response.tenure, at)) this.take(response, sent);
    });
    stream.on('error', () => {}); // `status` comes in every case, and says the same.
    stream.on('status', ({ code, details }) => {
      clearTimeout(silent);
      this.done.signal.removeEventListener('abort', cancel);
      this.service.failed(code, at);
      if (FATAL.includes(code)) this.done.abort(`REFUSED detail=${details}`);
      setTimeout(() => this.follow(), 200);
    });
  }

  take(response, sent) {
    if (this.over) return;
    const event = response[response.event];
    if (response.event === 'enrolled') {
      const first = !this.ticket;
      this.keep(event.ticket, 0);
      if (!first) return;
      this.deadline = sent + this.ttl; // Sending Campaign counts as the first KeepAlive.
      this.keepAlive();
    } else if (response.event === 'waiting') {
      say(this, 'waiting', { ahead: event.ahead });
    } else if (response.event === 'elected') {
      this.keep(event.ticket, event.fencing_token);
    } else if (response.event === 'draining') {
      this.done.abort('DRAINING');
    } else if (response.event === 'ended') {
      this.done.abort(name(event.reason));
    }
  }

  // Keeps a newer ticket. A leader's is only replaced by a leader's: an older answer may come after Elected.
  keep(ticket, token) {
    if (this.token && !token) return;
    Object.assign(this, { ticket, token });
    if (token) this.onElected();
  }

  async keepAlive() {
    while (!this.over) {
      const sent = now();
      const answer = await this.service.call('keepAlive', { items: [{ ticket: this.ticket }] }, this.ttl / 4);
      if (answer?.results.length === 1) this.kept(answer.results[0], sent);
      // A call that failed extends nothing; there is time for another.
      await sleep(answer ? Math.max(0, sent + this.ttl / 3 - now()) : this.ttl / 20, null, { ref: false });
    }
  }

  kept(result, sent) {
    this.check(); // A deadline that has passed isn't brought back by a late answer.
    if (this.over) return;
    const state = name(result.state);
    if (state === 'WAITING' || state === 'LEADING') {
      this.deadline = Math.max(this.deadline, sent + this.ttl);
      this.keep(result.ticket, result.fencing_token);
    } else {
      this.done.abort(state === 'ENDED' ? name(result.end_reason) : state);
    }
  }

  // Leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used again.
  async resign() {
    this.done.abort('RESIGNED');
    await this.service.call('resign', { ticket: this.ticket }, 2000); // If it fails: it runs out within its ttl.
    say(this, 'resigned');
  }
}

const name = (value) => value.replace(/^(END_REASON|CANDIDACY_STATE)_/, '');

// Waits until it leads, then works until it is lost or told to stop. Says whether it makes sense to try again.
async function lead(candidacy, stop, stepMilliseconds) {
  const end = AbortSignal.any([stop, candidacy.done.signal]);
  const ended = new Promise((resolve) => { end.aborted ? resolve() : end.addEventListener('abort', resolve); });
  await Promise.race([candidacy.elected, ended]);
  if (candidacy.check()) say(candidacy, 'elected', { token: candidacy.token });
  for (let token = candidacy.check(); token && !stop.aborted; token = candidacy.check()) {
    say(candidacy, 'task step', { token }); // The work: write to the resource, and pass the token on with each write.
    await sleep(stepMilliseconds, null, { signal: end }).catch(() => {});
  }
  const why = candidacy.over ? candidacy.done.signal.reason : null;
  if (why) {
    const [reason, detail] = why.split(' detail=');
    say(candidacy, 'lost', detail ? { reason, detail } : { reason });
  }
  if (candidacy.ticket && [null, 'DEADLINE', 'DRAINING'].includes(why)) await candidacy.resign();
  candidacy.done.abort('STOPPED'); // Nothing, if it has ended; else there was no ticket yet, and Campaign is given up.
  return !why?.startsWith('REFUSED detail=');
}

const { values: flags, positionals: [election] } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string', default: `${os.hostname()}-${process.pid}` },
    endpoint: { type: 'string', default: process.env.LEASEHOLD_ENDPOINT ?? '127.0.0.1:7400' },
    ttl: { type: 'string', default: '15' }, // Seconds that the lead outlives this process.
    step: { type: 'string', default: '1' }, // Seconds between two steps of the task.
    'replace-former': { type: 'boolean', default: false }, // The former process of this name is dead for sure.
  },
});
const ttl = Math.round(Number(flags.ttl) * 1000);
if (!election || !ttl) {
  console.error('usage: worker.js ELECTION [--name N] [--endpoint HOST:PORT,...] [--ttl 15] [--step 1] [--replace-former]');
  process.exit(2);
}
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop.abort());
const service = new Service(flags.endpoint);
const request = {
  election, candidate: flags.name, replace_former: flags['replace-former'],
  ttl: { seconds: Math.floor(ttl / 1000), nanos: (ttl % 1000) * 1e6 },
};
while (!stop.signal.aborted) {
  if (!await lead(new Candidacy(service, request, ttl), stop.signal, Number(flags.step) * 1000)) {
    process.exitCode = 1;
    break;
  }
  request.replace_former = false; // Said once; later candidacies of its own end by themselves.
}
service.client.close();
