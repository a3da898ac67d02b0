<?php
// The extension phpredis: phpredis.php PORT NAME
[, $port, $name] = $argv;
$client = new Redis();
$client->connect('127.0.0.1', (int) $port);
function check(bool $held): void { if (!$held) { throw new Exception('not as it should be'); } }
for ($index = 0; $index < 100; $index++) {
  $client->set("$name:$index", "$name:$index|value");
  check($client->get("$name:$index") === "$name:$index|value");
}
$pipe = $client->multi(Redis::PIPELINE);
for ($index = 0; $index < 100; $index++) { $pipe->get("$name:$index"); }
check(count($pipe->exec()) === 100);
check($client->multi()->incr("$name:n")->lPush("$name:l", 'a', 'b')->lRange("$name:l", 0, -1)->exec()[2] === ['b', 'a']);
$client->multi()->incr("$name:n");
$client->discard();
check($client->incr("$name:l") === false);
check($client->eval('return {1, {KEYS[1]}, redis.status_reply("FINE")}', [$name], 1)[1] === [$name]);
$client->select(3);
check($client->blPop(["$name:none"], 1) === []);
// A transaction that a watched key breaks.
$client->watch("$name:w");
$other = new Redis();
$other->connect('127.0.0.1', (int) $port);
$other->select(3);
$other->set("$name:w", "$name:w|changed");
check($client->multi()->get("$name:w")->exec() === false);
$feed = new Redis();
$feed->connect('127.0.0.1', (int) $port);
$left = 10;
$feed->setOption(Redis::OPT_READ_TIMEOUT, 2);
// The callback answers each message with the next one; redis-cli says the first.
exec("(sleep 0.3; redis-cli -p $port publish $name:a first) >/dev/null 2>&1 &");
try {
  $feed->subscribe(["$name:a", "$name:b"], function ($feed, $channel, $message) use (&$left, $other, $name) {
    if (--$left > 0) { $other->publish("$name:b", "$name says $left"); }
  });
} catch (RedisException) {
  // It leaves the subscribed mode only when nothing comes any more.
  check($left === 0);
}
