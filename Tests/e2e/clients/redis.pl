# Redis.pm: redis.pl PORT NAME
use strict;
use warnings;
use Redis;
my ($port, $name) = @ARGV;
my $client = Redis->new(server => "127.0.0.1:$port", name => $name);
for my $index (0 .. 99) {
  $client->set("$name:$index", "$name:$index|value");
  die unless $client->get("$name:$index") eq "$name:$index|value";
}
my $answered = 0;
$client->get("$name:$_", sub { $answered++ }) for 0 .. 99;
$client->wait_all_responses;
die unless $answered == 100;
$client->multi;
$client->incr("$name:n");
$client->sadd("$name:s", 'a', "\xff");
die unless ($client->exec)[1] == 2;
eval { $client->incr("$name:s"); die 'no error' };
die if $@ =~ /^no error/;
die unless ($client->eval('return {KEYS[1], 2}', 1, $name))[0] eq $name;
my $feed = Redis->new(server => "127.0.0.1:$port");
my $heard = 0;
$feed->subscribe("$name:a", "$name:b", my $count = sub { $heard++ });
$client->publish("$name:a", "$name says $_") for 1 .. 10;
$feed->wait_for_messages(0.2) while $heard < 10;
$feed->unsubscribe("$name:a", "$name:b", $count);
$feed->quit;
die if defined(($client->blpop("$name:none", 1))[0]);
$client->quit;
