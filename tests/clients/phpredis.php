<?php
// The conversation of test_clients.py by phpredis.

require __DIR__ . '/talk.php';

function connect(): Redis
{
    global $port, $password;
    $client = new Redis();
    $client->connect('127.0.0.1', (int) $port);
    $client->setOption(Redis::OPT_READ_TIMEOUT, 60);
    if ($password !== '') {
        $client->auth($password);
    }
    return $client;
}

function pipeline(Redis $client): array
{
    $pipeline = $client->pipeline();
    for ($i = 0; $i < 1000; ++$i) {
        $pipeline->incr('counter');
    }
    $replies = $pipeline->get('counter')->exec();
    return [$replies[0], $replies[999], $replies[1000]];
}

function transaction(Redis $client): array
{
    $multi = $client->multi()->incr('watched')->append('word', 'ab');
    $multi->rawCommand('KV.PUT', 'clients', 'in_multi', 'FIELD', 'n', 'int64', 'VALUES', 7);
    return $multi->exec();
}

function watch(Redis $client): mixed
{
    $client->watch('watched');
    connect()->incr('watched');
    return $client->multi()->incr('watched')->exec() ?: 'aborted';
}

function error(Redis $client): ?string
{
    try {
        $client->rawCommand('KV.MGET', 'nowhere', 'KEYS', 1, 'k');
    } catch (RedisException $refused) { // an error that begins with ERR it would keep for getLastError()
        return $refused->getMessage();
    }
}

function tensor(Redis $client, string $key): array
{
    $new = $client->rawCommand(...put_words($key));
    $about = keep($key, $client->rawCommand('KV.MGET', 'clients', 'KEYS', 1, $key, 'FIELDS', 1, 'x'));
    return [$new, ...array_map(fn ($part) => $part === false ? null : $part, $about)]; // its nil is false
}

function message(): string
{
    $heard = '';
    try {
        connect()->subscribe(['news'], function (Redis $listener, string $channel, string $text) use (&$heard) {
            $heard = $text;
            $listener->close();
        });
    } catch (RedisException) {
        // subscribe() goes on for as long as the connection does
    }
    return $heard;
}

function cluster(): string
{
    global $port, $password;
    try {
        new RedisCluster(null, ["127.0.0.1:$port"], 60, 60, false, $password);
    } catch (RedisClusterException $refused) {
        return $refused->getMessage();
    }
}

$client = connect();
say([
    'version' => phpversion('redis'),
    'ping' => $client->ping() ? 'PONG' : null,
    'client' => $client->rawCommand('CLIENT', 'INFO'),
    'pipeline' => pipeline($client),
    'transaction' => transaction($client),
    'watch' => watch($client),
    'error' => error($client),
    'tensors' => ['small' => tensor($client, 'small'), 'large' => tensor($client, 'large')],
    'message' => message(),
    'cluster' => cluster(),
]);
