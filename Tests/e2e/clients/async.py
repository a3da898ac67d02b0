# redis-py, asyncio: async.py PORT NAME VERSION
import asyncio
import sys

import redis.asyncio as redis

port, name, version = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


async def listen(client, count):
    async with client.pubsub() as feed:
        await feed.subscribe(f"{name}:a")
        await client.incr(f"{name}:listening")
        seen = 0
        while seen < count:
            message = await feed.get_message(ignore_subscribe_messages=True, timeout=5)
            seen += message is not None


async def work(client, worker):
    for index in range(60):
        key = f"{name}:{worker}.{index}"
        await client.set(key, f"{key}|value")
        assert await client.get(key) == f"{key}|value".encode()
    async with client.pipeline() as pipe:
        await pipe.incr(f"{name}:n").get(f"{name}:{worker}.0").execute()


async def main():
    client = redis.Redis(port=port, protocol=version)
    listening = asyncio.create_task(listen(client, 10))
    while not await client.get(f"{name}:listening"):
        await asyncio.sleep(0.01)
    await asyncio.gather(*(work(client, worker) for worker in range(4)))
    for index in range(10):
        await client.publish(f"{name}:a", f"{name} says {index}")
    await listening
    assert await client.blpop([f"{name}:none"], timeout=0.2) is None
    await client.aclose()


asyncio.run(main())
