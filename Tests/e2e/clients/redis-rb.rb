# redis-rb: redis-rb.rb PORT NAME
require 'redis'
port, name = ARGV
client = Redis.new(port: port.to_i)
def check(held) = held || raise('not as it should be')
100.times do |index|
  client.set("#{name}:#{index}", "#{name}:#{index}|value")
  check(client.get("#{name}:#{index}") == "#{name}:#{index}|value")
end
check(client.pipelined { |pipe| 100.times { |index| pipe.get("#{name}:#{index}") } }.length == 100)
check(client.multi { |all| all.incr("#{name}:n"); all.mapped_hmset("#{name}:h", 'a' => '1'); all.hgetall("#{name}:h") }[2] == { 'a' => '1' })
begin
  client.incr("#{name}:h")
  raise 'no error'
rescue Redis::CommandError
end
check(client.eval('return {KEYS[1], 2}', keys: [name]) == [name, 2])
listening = Queue.new
listener = Thread.new do
  heard = 0
  feed = Redis.new(port: port.to_i)
  feed.subscribe("#{name}:a", "#{name}:b") do |on|
    on.subscribe { |_, count| listening << true if count == 2 }
    on.message { feed.unsubscribe if (heard += 1) == 10 }
  end
  feed.quit
end
listening.pop
10.times { |index| check(client.publish("#{name}:a", "#{name} says #{index}") == 1) }
check(client.blpop("#{name}:none", timeout: 1).nil?)
client.rpush("#{name}:q", 'job')
check(client.blpop("#{name}:q", timeout: 5) == ["#{name}:q", 'job'])
client.quit
listener.join
