-- A claim is renewed; with a mark: from here on the ERP may have the order, whatever happens to us.
-- ARGV: order id, token, lease, mark (1/0)
-- Returns 1, or 0 when the claim is no longer ours (another worker took the step over).
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = order_key(id)
local rec = read(key, 'claim', 'erp', 'crashes')
if rec.claim ~= token then return 0 end
local ends = seconds(now + lease)
if ARGV[4] == '1' and not rec.erp then
  redis.call('HSET', key, 'until', ends, 'erp', 'maybe')
else
  redis.call('HSET', key, 'until', ends)
end
if rec.crashes then renew_alone(token, lease) end -- nothing else is worked at alone
redis.call('ZADD', DUE, ends, id)
return 1
