-- From here on the ERP may have the order, whatever happens to us. ARGV: order id, token, lease
-- Returns 1, or 0 when the claim is no longer ours (another worker took the step over).
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = order_key(id)
local rec = read(key, 'claim', 'erp')
if rec.claim ~= token then return 0 end
redis.call('HSET', key, 'until', seconds(now + lease), 'erp', rec.erp or 'maybe')
redis.call('ZADD', DUE, seconds(now + lease), id)
return 1
