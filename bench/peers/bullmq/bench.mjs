// BullMQ on the Redis of its argument: no-op jobs per second, and the time from enqueue to start of one job at a time.
// Prints one JSON object.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const JOBS = 20_000;
const BULK = 500;
const SINGLE_JOBS = 100;
const CONCURRENCY = 16;
const PATIENCE_MS = 30_000;

const modules = createRequire(process.env.PEER_MODULES + '/');
const { Queue, Worker } = modules('bullmq');
const version = JSON.parse(readFileSync(process.env.PEER_MODULES + '/node_modules/bullmq/package.json')).version;
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const sleep = milliseconds => new Promise(done => setTimeout(done, milliseconds));
const mail = user_id => ({ user_id, template: 'welcome_mail', locale: 'en', sent: performance.now() });

const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
for (let first = 0; first < JOBS; first += BULK) {
  await queue.addBulk(Array.from({ length: BULK }, (_, nth) => ({ name: 'mail', data: mail(first + nth) })));
}

let done = 0;
let delays = [];
const begin = performance.now();
new Worker('bench', async job => { done++; delays.push(performance.now() - job.data.sent); }, { connection, concurrency: CONCURRENCY });
while (done < JOBS && performance.now() - begin < PATIENCE_MS) await sleep(5);
const [finished, seconds] = [done, (performance.now() - begin) / 1000];

await sleep(2000);
delays = [];
for (let job = 0; job < SINGLE_JOBS; job++) {
  await sleep(20 + job * 7 % 40);
  await queue.add('mail', mail(job));
}
await sleep(1000);
delays.sort((left, right) => left - right);
const part = part => delays[Math.floor(delays.length * part)];
console.log(JSON.stringify({
  peer: `BullMQ ${version}, Redis`, jobs: JOBS, done: finished,
  settings: `concurrency ${CONCURRENCY}, appendfsync ${process.env.PEER_FSYNC}`,
  jobs_per_second: Math.round(finished / seconds), start_ms_p50: part(0.5), start_ms_p99: part(0.99),
}));
process.exit(0);
