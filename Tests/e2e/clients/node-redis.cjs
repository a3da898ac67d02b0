// node-redis: NODE_PATH=/usr/share/nodejs node node-redis.cjs PORT NAME
const { createClient } = require('redis');
const [port, name] = process.argv.slice(2);
const check = (held) => { if (!held) throw new Error('not as it should be'); };

async function main() {
  const client = createClient({ socket: { port: Number(port), host: '127.0.0.1' }, name });
  await client.connect();
  // What is sent in one turn goes out as a pipeline.
  await Promise.all(Array.from({ length: 100 }, async (_, index) => {
    await client.set(`${name}:${index}`, `${name}:${index}|value`);
    check(await client.get(`${name}:${index}`) === `${name}:${index}|value`);
  }));
  const [count, all] = await client.multi().incr(`${name}:n`).hGetAll(`${name}:none`).exec();
  check(count === 1 && Object.keys(all).length === 0);
  await client.rPush(`${name}:l`, ['a', 'b']);
  await client.incr(`${name}:l`).then(() => check(false), (error) => check(error.message.startsWith('WRONGTYPE')));
  check((await client.eval('return {KEYS[1], 2}', { keys: [name] }))[0] === name);
  const feed = client.duplicate();
  await feed.connect();
  let heard = 0;
  const listener = () => { heard += 1; };
  await feed.subscribe([`${name}:a`, `${name}:b`], listener);
  await feed.pSubscribe(`${name}:*`, listener);
  for (let index = 0; index < 10; index += 1) check(await client.publish(`${name}:a`, `${name} says ${index}`) === 2);
  while (heard < 20) await new Promise((resolve) => { setTimeout(resolve, 10); });
  await feed.unsubscribe();
  await feed.pUnsubscribe();
  await feed.ping();
  await feed.quit();
  check(await client.blPop(`${name}:none`, 1) === null);
  await client.quit();
}

main().catch((error) => { console.error(error); process.exit(1); });
