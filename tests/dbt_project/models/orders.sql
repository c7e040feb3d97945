select order_id, any_value(shop) as shop, min(ordered_at) as ordered_at, sum(amount) as amount, max(sent_back) as sent_back
from {{ ref("lines") }}
group by order_id
