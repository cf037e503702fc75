#!/bin/sh
# An ERP's side of the HTTP API with curl: one invoice and one tracking event.
#
#   TOKEN=… sh erp.sh 1172452900788-01 9999 9508        (order, invoice number, cents)
set -eu
url=${FRONT_DOOR:-http://localhost:8080}
order=$1 number=$2 cents=$3

# The same key again is the same command: so whatever goes wrong on the way, it is sent again as it is.
send() { # path, key, body
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --output /dev/null \
        --header "Authorization: Bearer $TOKEN" --header "Content-Type: application/json" \
        --header "Idempotency-Key: $2" --data "$3" "$url/v1/orders/$order/$1"
}

# Until it has ended: done, or refused or dead with the reason in "why".
outcome() { # key
    while :; do
        said=$(curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused \
            --header "Authorization: Bearer $TOKEN" "$url/v1/commands/$1")
        case $said in
            *'"state": "done"'*) echo "$1: done"; return ;;
            *'"state": "refused"'* | *'"state": "dead"'*) echo "$said" >&2; return 1 ;;
        esac
        sleep 1
    done
}

send invoices "nf-$number" "{
    \"type\": \"Output\", \"issuanceDate\": \"2026-01-31T18:25:43-03:00\",
    \"invoiceNumber\": \"$number\", \"invoiceValue\": $cents,
    \"items\": [{\"id\": \"1234\", \"price\": $cents, \"quantity\": 1}]}"
send "invoices/$number/tracking" "nf-$number-sent" '{
    "trackingNumber": "BR123456789", "courier": "Correios", "isDelivered": false,
    "events": [{"city": "Niterói", "state": "RJ", "description": "Saiu para entrega", "date": "2026-02-01"}]}'
outcome "nf-$number"
outcome "nf-$number-sent"
