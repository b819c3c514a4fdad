// A worker that does its task only while it leads an election. The election is in election.js; the
// task stands here.

import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Candidacy, Service, say } from './election.js';

const HOUR = 3_600_000;

// Does the task step by step whenever the candidacy leads, until it is over or told to stop.
async function lead(candidacy, stop, stepMilliseconds) {
  while (!candidacy.over && !stop.aborted) {
    const token = candidacy.check();
    // The work: write to the resource, with the token in each write.
    if (token) say(candidacy, 'task step', { token });
    const signal = AbortSignal.any([stop, candidacy.change.signal]);
    await sleep(token ? stepMilliseconds : HOUR, null, { signal }).catch(() => {});
  }
  if (candidacy.ticket && ['', 'DRAINING'].includes(candidacy.over)) {
    await candidacy.resign(); // Before it enters again, or it would queue behind itself.
  }
  // Nothing, if it has ended; else there was no ticket yet, and Campaign is given up.
  candidacy.end('RESIGNED');
}

const { values: flags, positionals: [election] } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string', default: `${os.hostname()}-${process.pid}` },
    endpoint: { type: 'string', default: process.env.LEASEHOLD_ENDPOINT || '127.0.0.1:7400' },
    ttl: { type: 'string', default: '15' }, // Seconds that the lead outlives this process.
    step: { type: 'string', default: '1' }, // Seconds between two steps of the task.
    // The former process of this name is dead for sure.
    'replace-former': { type: 'boolean', default: false },
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
  const candidacy = new Candidacy(service, request);
  await lead(candidacy, stop.signal, Number(flags.step) * 1000);
  if (candidacy.over === 'FATAL') {
    process.exitCode = 1;
    break;
  }
  request.replace_former = false; // Said once; later candidacies of its own end by themselves.
}
service.client.close();
