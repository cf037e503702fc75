<?php
// An ERP's side of the HTTP API with PHP (8, with its curl extension): one invoice and one tracking event.
//
//   TOKEN=… php erp.php 1172452900788-01 9999 9508        (order, invoice number, cents)

[, $order, $number, $cents] = $argv;

// The same key again is the same command: so whatever goes wrong on the way, it is sent again as it is.
function ask(string $path, ?string $key = null, ?array $body = null): array
{
    $headers = ['Authorization: Bearer ' . getenv('TOKEN')];
    $options = [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 15];
    if ($body !== null) {
        $headers[] = 'Content-Type: application/json';
        $headers[] = "Idempotency-Key: $key";
        $options[CURLOPT_POSTFIELDS] = json_encode($body, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
    }
    for ($tries = 1; ; $tries++) {
        $request = curl_init((getenv('FRONT_DOOR') ?: 'http://localhost:8080') . $path);
        curl_setopt_array($request, $options + [CURLOPT_HTTPHEADER => $headers]);
        $answer = curl_exec($request);
        $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);
        if ($status >= 200 && $status < 300) {
            return json_decode($answer, true, flags: JSON_THROW_ON_ERROR);
        }
        $again = $answer === false || $status === 429 || $status >= 500;
        if (!$again || $tries === 5) {
            throw new RuntimeException($answer === false ? curl_error($request) : $answer);
        }
        sleep(5);
    }
}

function outcome(string $key): void
{
    for (; ; sleep(1)) {
        $command = ask('/v1/commands/' . rawurlencode($key));
        if ($command['state'] === 'done') {
            echo "$key: done\n";
            return;
        }
        if (in_array($command['state'], ['refused', 'dead'], true)) {
            throw new RuntimeException("$key: " . $command['outcome']['why']);
        }
    }
}

$path = '/v1/orders/' . rawurlencode($order) . '/invoices';
ask($path, "nf-$number", [
    'type' => 'Output',
    'issuanceDate' => '2026-01-31T18:25:43-03:00',
    'invoiceNumber' => $number,
    'invoiceValue' => (int) $cents,
    'items' => [['id' => '1234', 'price' => (int) $cents, 'quantity' => 1]],
]);
ask("$path/$number/tracking", "nf-$number-sent", [
    'trackingNumber' => 'BR123456789',
    'courier' => 'Correios',
    'isDelivered' => false,
    'events' => [['city' => 'Niterói', 'state' => 'RJ', 'description' => 'Saiu para entrega', 'date' => '2026-02-01']],
]);
outcome("nf-$number");
outcome("nf-$number-sent");
