// One candidacy in an election, with nothing but grpc-js: the part to take over into a worker of
// your own.
//
// It does what the table at ElectionService in election.proto says. A worker leads while the last
// word of the service said so, and its own deadline lies ahead: (moment before the last accepted
// KeepAlive was sent) + ttl. Each write goes out with the fencing token, so that the resource can
// refuse a former leader.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const { status } = grpc;
// What the service itself refuses with: so, another replica may do better; and the same call may
// succeed later.
const GONE = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED];
const TEMPORARY = [...GONE, status.RESOURCE_EXHAUSTED, status.ABORTED];
const CHANNEL = {
  // A connection can go silent without ever breaking: ping it, and give it up when nothing comes
  // back.
  'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5_000,
  // A new client would otherwise share the silent connection of the old one.
  'grpc.use_local_subchannel_pool': 1,
  // By default the next connection is tried up to 2 minutes later.
  'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 1_000,
  // http_proxy and its like are meant for other traffic. Without this line they are used.
  'grpc.enable_http_proxy': 0,
};

// All numbers are below 2^53, so a Number holds each exactly.
const definition = loader.loadSync('leasehold/v1/election.proto', {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true,
});
const { ElectionService } = grpc.loadPackageDefinition(definition).leasehold.v1;

// Milliseconds, in steps of ten, on a clock that goes on while the machine is suspended;
// performance.now() stands still then.
const now = () => os.uptime() * 1000;
const milliseconds = (duration) => duration.seconds * 1000 + duration.nanos / 1e6;
const name = (reason) => `${reason}`.replace('END_REASON_', '');

// Whether the service itself says so, and not a proxy, another program or the library: then the
// status has an ErrorInfo, whose domain (field 2, of 9 bytes) is leasehold.
function ours({ metadata }) {
  return metadata.get('grpc-status-details-bin').some((details) => details.includes('\x12\x09leasehold'));
}

// Where nobody reads along facts are JSON, with the names that the server's log has.
const json = process.env.LEASEHOLD_LOG_FORMAT ? process.env.LEASEHOLD_LOG_FORMAT === 'json' : !process.stdout.isTTY;

// Tells a fact of a candidacy, a line. A terminal shows only what isn't known there.
export function say(candidacy, fact, fields = {}, level = 'INFO') {
  if (!json) {
    console.log([fact, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join(' '));
    return;
  }
  const { request: { election, candidate }, service: { tenure }, token } = candidacy;
  const line = { timestamp: new Date().toISOString(), level, message: fact, election, candidate, tenure };
  console.log(JSON.stringify({ ...line, ...(token ? { token } : {}), ...fields }));
}

const fileOf = (variable) => (process.env[variable] ? readFileSync(process.env[variable]) : null);

// Whom to trust, and what to show: files that may be replaced at any time. They are read anew for
// each connection, the token for each call.
function sealed() {
  const [ca, key, cert] = ['CA', 'KEY', 'CERT'].map((what) => fileOf(`LEASEHOLD_${what}`));
  const tls = grpc.credentials.createSsl(ca, key, cert);
  if (!process.env.LEASEHOLD_TOKEN_FILE) return tls;
  const show = grpc.credentials.createFromMetadataGenerator((_, callback) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${fileOf('LEASEHOLD_TOKEN_FILE').toString().trim()}`);
    callback(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(tls, show);
}

// The replicas: the next one, over a new connection, when the one in use is gone. And what is known
// of them all.
export class Service {
  at = 0;
  tenure = 0;
  trouble = '';
  belowSince = null;
  lastTicket = null;

  constructor(endpoints) {
    this.endpoints = endpoints.split(',').map((endpoint) => endpoint.trim().replace(/\/$/, ''));
    this.connect();
  }

  connect() {
    const endpoint = this.endpoints[this.at % this.endpoints.length];
    const isSealed = endpoint.startsWith('https://');
    const address = endpoint.replace(/^https?:\/\//, '');
    this.client = new ElectionService(address, isSealed ? sealed() : grpc.credentials.createInsecure(), CHANNEL);
  }

  // Goes on, unless somebody did since `at`. A stream that is open stays until it breaks.
  leave(at) {
    if (at !== this.at) return;
    this.client.close();
    this.at += 1;
    this.connect();
  }

  // Says once what is wrong, until the service is heard again.
  tell(candidacy, trouble, why) {
    const known = this.trouble;
    if (known !== 'below') this.trouble = trouble;
    if (this.trouble !== known) say(candidacy, trouble, { why }, 'WARN');
  }

  // A call failed: that extends nothing, and ends nothing. Whether the connection was left for it.
  failed(candidacy, at, error) {
    const { code } = error;
    const details = error.details.replace(/\s+/g, ' '); // A stranger's may have several lines.
    const gone = GONE.includes(code) || !ours(error);
    if (gone) this.leave(at);
    const noAnswer = [status.CANCELLED, status.OK].includes(code);
    this.tell(candidacy, gone ? 'unreachable' : 'refused', noAnswer ? 'no answer' : `${status[code]}: ${details}`);
    return gone;
  }

  // Whether this isn't the word of a replica that was replaced since.
  admits(candidacy, tenure, at) {
    if (tenure < this.tenure) {
      this.belowSince ??= now();
      this.leave(at);
      return false;
    }
    if (this.trouble) say(candidacy, 'reachable');
    Object.assign(this, { tenure, trouble: '', belowSince: null });
    return true;
  }

  // Whether nothing was admitted for longer than a ttl: the service was restored, and knows nothing
  // of this tenure.
  isBelow(candidacy) {
    if (this.belowSince === null || now() - this.belowSince < candidacy.ttl) return false;
    this.tell(candidacy, 'below', `it answers with lower numbers than ${this.tenure}: was the service restored?`);
    return true;
  }

  // A call: what became of it, as { error } or { answer }.
  call(method, request, patience) {
    return new Promise((resolve) => {
      this.client[method](request, { deadline: Date.now() + patience }, (error, answer) => resolve({ error, answer }));
    });
  }

  // Whether the service was told that this candidacy is over.
  async resign(ticket) {
    const { at } = this;
    const { error } = await this.call('resign', { ticket }, 2000);
    if (error) this.leave(at);
    return !error;
  }
}

// One candidacy from Campaign to its end. It may lead more than once; when `over` says why it
// ended, never again.
export class Candidacy {
  // Aborted, and replaced, when it begins or ceases to lead, or ends.
  change = new AbortController();
  over = '';
  ticket = null;
  version = 0;
  leads = false;
  token = 0;
  deadline = 0;
  stream = null;

  constructor(service, request) {
    this.service = service;
    this.ttl = milliseconds(request.ttl);
    // If the answer to Campaign is lost, the next one finds what it entered.
    this.request = { ...request, attempt: randomUUID() };
    this.follow();
  }

  // The fencing token if this candidacy leads at this moment, else 0. Call it before each step of
  // the task.
  check() {
    if (now() >= this.deadline) this.lose('DEADLINE');
    return this.leads ? this.token : 0;
  }

  lead(token) {
    if (this.check() === token) return;
    this.lose('OVERTAKEN');
    if (now() >= this.deadline) return; // The next KeepAlive tells whether it does.
    Object.assign(this, { leads: true, token });
    say(this, 'elected', { token });
    this.changed();
  }

  changed() {
    this.change.abort();
    this.change = new AbortController();
  }

  // It doesn't lead, from now on. Said before anybody can find out, and say what follows from it.
  lose(reason) {
    if (!this.leads) return;
    say(this, 'lost', { reason });
    this.leads = false;
    this.changed();
  }

  // It is over, for good; the first reason stays.
  end(reason) {
    if (this.over) return;
    if (reason !== 'RESIGNED') say(this, this.leads ? 'lost' : 'ended', { reason });
    Object.assign(this, { leads: false, over: reason });
    this.stream?.cancel();
    this.changed();
  }

  // Whether nothing newer was heard: words can overtake each other. An end has no version, and is
  // final.
  isNews(version) {
    this.version = Math.max(this.version, version);
    return !this.over && (version === 0 || version === this.version);
  }

  keep(ticket) {
    if (ticket.length > 0) this.ticket = this.service.lastTicket = ticket;
  }

  // Reads the Campaign stream. When it breaks, with any status, opens it again, which extends
  // nothing.
  async follow() {
    for (let delay = 100; !this.over; delay = Math.min(2 * delay, 1000)) {
      if (this.service.isBelow(this)) {
        await sleep(this.ttl, null, { ref: false });
        // The KeepAlives show it to the service, which then begins above its numbers.
        if (this.ticket) continue;
        // So does this; the candidacy is over since long.
        if (this.service.lastTicket) await this.service.resign(this.service.lastTicket);
      }
      const { heard, end } = await this.read();
      // Somebody else has opened it, and would lose it again. The KeepAlives tell all that it
      // would.
      if (this.ticket && end.code === status.ABORTED && ours(end)) return;
      if (!this.ticket && !TEMPORARY.includes(end.code) && ours(end)) this.end('FATAL');
      if (heard) delay = 50;
      await sleep(delay, null, { ref: false });
    }
  }

  // Opens the stream and reads it until it breaks: whether anything was heard, and how it
  // broke.
  read() {
    const { at, client } = this.service;
    const sent = now();
    const stream = client.campaign(this.ticket ? { ticket: this.ticket } : this.request);
    this.stream = stream;
    let heard = false;
    // The first word comes at once.
    const silence = setTimeout(() => stream.cancel(), Math.max(1000, this.ttl / 6)).unref();
    stream.on('data', (response) => {
      clearTimeout(silence);
      if (this.service.admits(this, response.tenure, at)) {
        heard = true;
        this.take(response, sent);
        return;
      }
      // Nobody would listen to what was entered there.
      if (response.enrolled && !this.ticket) this.service.resign(response.enrolled.ticket);
      stream.cancel();
    });
    stream.on('error', () => {}); // `status` comes in every case, and says the same.
    return new Promise((resolve) => {
      stream.on('status', (end) => {
        clearTimeout(silence);
        if (!heard && !this.over) this.service.failed(this, at, end);
        resolve({ heard, end });
      });
    });
  }

  take(response, sent) {
    if (!this.isNews(response.version)) return;
    const event = response[response.event];
    if (response.event === 'enrolled') {
      const first = !this.ticket;
      this.keep(event.ticket);
      if (!first) return;
      this.deadline = sent + this.ttl; // Sending Campaign counts as the first KeepAlive.
      this.keepAlive();
    } else if (response.event === 'elected') {
      this.keep(event.ticket);
      this.lead(event.fencing_token);
    } else if (response.event === 'draining') {
      this.end('DRAINING'); // It may finish first, until its deadline. This task can stop at once.
    } else if (response.event === 'ended') {
      this.end(name(event.reason));
    } else if (response.event !== 'heartbeat') { // Waiting, or a word that isn't known here.
      this.lose('WAITING');
      say(this, 'waiting', { ahead: event?.ahead });
    }
  }

  // Sends KeepAlives. Their answers tell all that the stream tells, and they alone move the
  // deadline.
  async keepAlive() {
    while (!this.over) {
      const { at } = this.service;
      const sent = now();
      const { error, answer } = await this.service.call('keepAlive', { items: [{ ticket: this.ticket }] }, this.ttl / 6);
      const heard = !error && this.service.admits(this, answer.tenure, at);
      if (heard) answer.results.forEach((result) => this.kept(result, sent));
      // The stream may be on the same connection, which may be silent.
      if (error && !this.over && this.service.failed(this, at, error)) this.stream.cancel();
      // After one that failed there is time for another one.
      const pause = heard || this.service.isBelow(this) ? sent + this.ttl / 3 - now() : Math.min(this.ttl / 20, 1000);
      await sleep(Math.max(0, pause), null, { ref: false });
    }
  }

  kept(result, sent) {
    if (!this.isNews(result.version)) return;
    this.check(); // A late answer doesn't hide that the deadline has passed.
    this.keep(result.ticket);
    const state = `${result.state}`.replace('CANDIDACY_STATE_', '');
    if (state === 'WAITING' || state === 'LEADING') {
      this.deadline = Math.max(this.deadline, sent + milliseconds(result.ttl));
    }
    if (state === 'LEADING') this.lead(result.fencing_token);
    else if (state === 'ENDED') this.end(name(result.end_reason));
    else if (state === 'DRAINING' || state === 'REFUSED') this.end(state);
    else this.lose(state); // Waiting, or a word that isn't known here.
  }

  // Leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used again.
  async resign() {
    this.end('RESIGNED');
    for (const giveUp = now() + 5000; now() < giveUp; await sleep(200)) {
      if (await this.service.resign(this.ticket)) return say(this, 'resigned');
    }
    return null; // It runs out by itself.
  }
}
