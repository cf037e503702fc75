-- A claim is renewed; with a mark: from here on the ERP may have the order, whatever happens to us.
-- ARGV: order id, token, lease, mark (1/0)
-- Returns 1, or 0 when the claim is no longer ours (another worker took the step over).
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = order_key(id)
local rec = read(key, 'claim', 'erp')
if rec.claim ~= token then return 0 end
redis.call('HSET', key, 'until', seconds(now + lease))
if ARGV[4] == '1' then redis.call('HSET', key, 'erp', rec.erp or 'maybe') end
if redis.call('GET', ALONE) == token then take_alone(token, lease) end
redis.call('ZADD', DUE, seconds(now + lease), id)
return 1
