# redis-py, blocking: sync.py PORT NAME VERSION
import sys
import threading

import redis

port, name, version = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = redis.Redis(port=port, protocol=version, client_name=name)
for index in range(100):
    key = f"{name}:{index}"
    client.set(key, f"{key}|value")
    assert client.get(key) == f"{key}|value".encode()
with client.pipeline(transaction=False) as pipe:
    for index in range(100):
        pipe.get(f"{name}:{index}")
    assert len(pipe.execute()) == 100
with client.pipeline() as pipe:
    pipe.incr(f"{name}:n").hset(f"{name}:h", mapping={"a": 1, b"\xff": b"\xfe"}).hgetall(f"{name}:h").zadd(f"{name}:z", {"m": 1.5})
    assert pipe.execute()[0] == 1
assert client.zscore(f"{name}:z", "m") == 1.5
try:
    client.incr(f"{name}:h")
    raise AssertionError("no error")
except redis.ResponseError:
    pass
script = client.register_script("return {KEYS[1], {ARGV[1], false}, 7}")
assert script(keys=[name], args=["x"]) == [name.encode(), [b"x", None], 7]
feed = client.pubsub()
feed.subscribe(f"{name}:a", f"{name}:b")
feed.psubscribe(f"{name}:*")
while feed.get_message(timeout=0.2):
    pass
for index in range(20):
    assert client.publish(f"{name}:a", f"{name} says {index}") == 2
assert sum(feed.get_message(timeout=5)["type"] in ("message", "pmessage") for _ in range(40)) == 40
feed.unsubscribe()
feed.punsubscribe()
while feed.subscribed:
    feed.get_message(timeout=0.2)
feed.close()
other = redis.Redis(port=port, protocol=version, db=3)
waiting = threading.Thread(target=lambda: other.blpop([f"{name}:q"], timeout=10))
waiting.start()
# The list is in the waiting client's database.
with redis.Redis(port=port, protocol=version, db=3) as pushing:
    pushing.rpush(f"{name}:q", "job")
waiting.join()
assert other.blpop([f"{name}:none"], timeout=1) is None
other.close()
client.close()
