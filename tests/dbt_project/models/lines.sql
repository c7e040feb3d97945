{{ config(materialized="ephemeral") }}
select order_id, shop, ordered_at, pieces * price as amount, sent_back from {{ source("till", "receipts") }}
