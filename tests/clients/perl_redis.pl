# The conversation of test_clients.py by Perl's Redis: perl_redis.pl PORT FOLDER PASSWORD

use strict;
use warnings;
use JSON::PP;
use Redis;

my ($port, $folder, $password) = @ARGV;
my %shapes = (small => [2, 3], large => [1024, 512]);
my ($put, $mget) = ('KV.PUT', 'KV.MGET');    # a method's name with a dot in it has to be a string

sub connection {
    return Redis->new(server => "127.0.0.1:$port", $password eq '' ? () : (password => $password));
}

sub pipeline {
    my ($client) = @_;
    my @replies;
    $client->incr('counter', sub { push @replies, 0 + $_[0] }) for 1 .. 1000;
    $client->get('counter', sub { push @replies, $_[0] });
    $client->wait_all_responses;
    return [@replies[0, 999, 1000]];
}

sub transaction {
    my ($client) = @_;
    $client->multi;
    $client->incr('watched');
    $client->append('word', 'ab');
    $client->$put(qw(clients in_multi FIELD n int64 VALUES 7));
    return [map { 0 + $_ } $client->exec];
}

sub watch {
    my ($client) = @_;
    $client->watch('watched');
    connection()->incr('watched');
    $client->multi;
    $client->incr('watched');
    return scalar $client->exec // 'aborted';
}

sub error {
    my ($client) = @_;
    eval { $client->$mget(qw(nowhere KEYS 1 k)) };
    return $@ =~ /\[KV\.MGET\] (.*?),\s+at /s ? $1 : $@;
}

sub tensor {
    my ($client, $key) = @_;
    open my $file, '<:raw', "$folder/$key" or die $!;
    my $bytes = do { local $/; <$file> };
    my $new = $client->$put('clients', $key, qw(FIELD x float32), @{ $shapes{$key} }, 'BLOB', $bytes);
    my ($field) = $client->$mget('clients', 'KEYS', 1, $key, 'FIELDS', 1, 'x');
    my ($name, $dtype, $shape, $row_shapes, $data) = @$field;
    open my $got, '>:raw', "$folder/$key.got" or die $!;
    print $got $data;
    return [0 + $new, $name, $dtype, [map { 0 + $_ } @$shape], $row_shapes];
}

sub message {
    my $listener = connection();
    my $heard;
    my $hear = sub { $heard = $_[0] };
    $listener->subscribe('news', $hear);
    $listener->wait_for_messages(0.1) until defined $heard;
    $listener->unsubscribe('news', $hear);
    utf8::decode($heard);
    return $heard;
}

my $client = connection();
my %saw = (
    version     => "$Redis::VERSION",
    ping        => $client->ping,
    client      => $client->client('INFO'),
    pipeline    => pipeline($client),
    transaction => transaction($client),
    watch       => watch($client),
    error       => error($client),
    tensors     => { map { $_ => tensor($client, $_) } keys %shapes },
    message     => message(),
);
print JSON::PP->new->utf8->encode(\%saw), "\n";
