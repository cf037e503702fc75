-- The record that waits longest to be worked at alone. Returns {order id, step}, or {}
while true do
  local id = redis.call('ZPOPMIN', QUEUE_ALONE)[1]
  if not id then return {} end
  local rec = read(order_key(id), 'state', 'step')
  if rec.state == 'open' or rec.state == 'parked' then return {id, rec.step} end
end
