<?php
// The conversation of test_clients.py by predis.

require __DIR__ . '/talk.php';
require 'Predis/autoload.php'; // in PHP's include path, where Debian puts it

use Predis\Client;
use Predis\Command\RawCommand;

function connect(): Client
{
    global $port, $password;
    $options = $password === '' ? [] : ['parameters' => ['password' => $password]];
    return new Client(['host' => '127.0.0.1', 'port' => $port, 'read_write_timeout' => 60], $options);
}

function pipeline(Client $client): array
{
    $replies = $client->pipeline(function ($pipeline) {
        for ($i = 0; $i < 1000; ++$i) {
            $pipeline->incr('counter');
        }
        $pipeline->get('counter');
    });
    return [$replies[0], $replies[999], $replies[1000]];
}

function transaction(Client $client): array
{
    return $client->transaction(function ($multi) {
        $multi->incr('watched');
        $multi->append('word', 'ab');
        $multi->executeCommand(new RawCommand(['KV.PUT', 'clients', 'in_multi', 'FIELD', 'n', 'int64', 'VALUES', 7]));
    });
}

function watch(Client $client): mixed
{
    try {
        return $client->transaction(['watch' => 'watched', 'cas' => true], function ($multi) {
            $multi->get('watched'); // the first command sends WATCH before it
            connect()->incr('watched');
            $multi->multi();
            $multi->incr('watched');
        });
    } catch (Predis\Transaction\AbortedMultiExecException) {
        return 'aborted';
    }
}

function error(Client $client): string
{
    try {
        return $client->executeRaw(['KV.MGET', 'nowhere', 'KEYS', 1, 'k']);
    } catch (Predis\Response\ServerException $refused) {
        return $refused->getMessage();
    }
}

function tensor(Client $client, string $key): array
{
    $new = $client->executeRaw(put_words($key));
    return [$new, ...keep($key, $client->executeRaw(['KV.MGET', 'clients', 'KEYS', 1, $key, 'FIELDS', 1, 'x']))];
}

function message(): string
{
    $loop = connect()->pubSubLoop(['subscribe' => 'news']);
    foreach ($loop as $message) {
        if ($message->kind === 'message') {
            $loop->unsubscribe();
            return $message->payload;
        }
    }
}

$client = connect();
say([
    'version' => Client::VERSION,
    'ping' => (string) $client->ping(),
    'client' => $client->executeRaw(['CLIENT', 'INFO']),
    'pipeline' => pipeline($client),
    'transaction' => transaction($client),
    'watch' => watch($client),
    'error' => error($client),
    'tensors' => ['small' => tensor($client, 'small'), 'large' => tensor($client, 'large')],
    'message' => message(),
]);
