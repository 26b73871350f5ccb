<?php
// What the PHP scripts of the conversation share: `script PORT FOLDER PASSWORD`.

[, $port, $folder, $password] = $argv;
const SHAPES = ['small' => [2, 3], 'large' => [1024, 512]];

// The words of a KV.PUT.
function put_words(string $key): array
{
    global $folder;
    $bytes = file_get_contents("$folder/$key");
    return ['KV.PUT', 'clients', $key, 'FIELD', 'x', 'float32', ...SHAPES[$key], 'BLOB', $bytes];
}

// A reply of KV.MGET with one field: leaves the data where the test looks for it, and gives the rest.
function keep(string $key, array $reply): array
{
    global $folder;
    $data = array_pop($reply[0]);
    file_put_contents("$folder/$key.got", $data);
    return $reply[0];
}

function say(array $saw): void
{
    echo json_encode($saw, JSON_THROW_ON_ERROR), "\n";
}
