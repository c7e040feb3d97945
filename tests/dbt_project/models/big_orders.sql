select orders.*, shops.size from {{ ref("orders") }} orders join {{ ref("shops") }} shops using (shop) where amount > 100
