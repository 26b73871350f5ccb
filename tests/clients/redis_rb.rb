# The conversation of test_clients.py by redis-rb: redis_rb.rb PORT FOLDER PASSWORD

require "json"
require "redis"

PORT, FOLDER, PASSWORD = ARGV
SHAPES = { "small" => [2, 3], "large" => [1024, 512] }.freeze

def connect
  Redis.new(port: PORT, password: PASSWORD.empty? ? nil : PASSWORD, timeout: 60)
end

def pipeline(client)
  replies = client.pipelined do |commands|
    1000.times { commands.incr("counter") }
    commands.get("counter")
  end
  replies.values_at(0, -2, -1)
end

def transaction(client)
  client.multi do |multi|
    multi.incr("watched")
    multi.append("word", "ab")
    multi.call("KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", 7)
  end
end

def watch(client)
  client.watch("watched") do
    connect.incr("watched")
    client.multi { |multi| multi.incr("watched") } || "aborted"
  end
end

def error(client)
  client.call("KV.MGET", "nowhere", "KEYS", 1, "k")
rescue Redis::CommandError => e
  e.message
end

def tensor(client, key)
  bytes = File.binread(File.join(FOLDER, key))
  new = client.call("KV.PUT", "clients", key, "FIELD", "x", "float32", *SHAPES[key], "BLOB", bytes)
  *about, data = client.call("KV.MGET", "clients", "KEYS", 1, key, "FIELDS", 1, "x").first
  File.binwrite(File.join(FOLDER, "#{key}.got"), data)
  [new, *about]
end

def message
  heard = nil
  listener = connect
  listener.subscribe("news") do |on|
    on.message do |_channel, text|
      heard = text
      listener.unsubscribe("news")
    end
  end
  heard
end

def cluster
  Redis.new(cluster: ["redis://127.0.0.1:#{PORT}"], password: PASSWORD.empty? ? nil : PASSWORD)
rescue Redis::Cluster::InitialSetupError => e
  e.message
end

client = connect
puts JSON.generate(
  "version" => Redis::VERSION,
  "ping" => client.ping,
  "client" => client.call("CLIENT", "INFO"),
  "pipeline" => pipeline(client),
  "transaction" => transaction(client),
  "watch" => watch(client),
  "error" => error(client),
  "tensors" => SHAPES.keys.to_h { |key| [key, tensor(client, key)] },
  "message" => message,
  "cluster" => cluster
)
