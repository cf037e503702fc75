-- Erase an ended order. What stays says only that it ended and whether the ERP had it, so that a repeat is known as
-- one and a later cancellation still reaches the ERP. ARGV: order id, ttl. Returns 'unknown', 'busy' or 'erased'.
local id, ttl = ARGV[1], tonumber(ARGV[2])
local key = order_key(id)
local rec = read(key, 'v', 'state', 'erp', 'told', 'at', 'pending')
if not rec.state then return 'unknown' end
if newer(rec.v) or rec.state == 'open' or rec.state == 'parked' then return 'busy' end
redis.call('DEL', key, handles_key(id))
redis.call('ZREM', DELIVERED, id)
redis.call('ZREM', DEAD, id)
redis.call('ZREM', WATCH, id)
redis.call('HDEL', STUCK, id)
move_state(key, rec.state, 'done')
redis.call('HSET', key, 'v', VERSION, 'state', 'done', 'forgotten', '1', 'at', rec.at or '')
if rec.erp then redis.call('HSET', key, 'erp', rec.erp, 'told', rec.told or '') end
if rec.pending then redis.call('HSET', key, 'pending', rec.pending) end
redis.call('EXPIRE', key, ttl)
return 'erased'
