#!/usr/bin/env bash
# moto 5.2.5 accepts the token of a DynamoDB transaction, and ignores it.
#
# Expected: `TransactWriteItems` with the same `ClientRequestToken` within ten minutes changes the
#           table once. The API reference of DynamoDB says so.
# Seen:     moto applies the transaction each time.
# Matters:  moto cannot show whether a program is safe if the response of a transaction is lost.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check moto==5.2.5 boto3==1.44.8

cat >show.py <<'E'
import boto3
from moto import mock_aws

with mock_aws():
    client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    client.create_table(
        TableName="counters",
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    key = {"key": {"S": "a"}}
    add_one = {"Update": {
        "TableName": "counters", "Key": key,
        "UpdateExpression": "ADD hits :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
    }}
    for _ in range(2):
        client.transact_write_items(ClientRequestToken="one-token", TransactItems=[add_one])
    hits = client.get_item(TableName="counters", Key=key)["Item"]["hits"]["N"]
    print(f"one transaction, sent twice with one token: counted {hits} time(s)")
E
seen=$(env/bin/python show.py)
echo "$seen"

expected='one transaction, sent twice with one token: counted 2 time(s)'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
