-- Written before VTEX is called, so that whoever comes after a crash looks before calling again.
-- ARGV: command id, token, lease, 'sent' (VTEX may have it from now on), 'known' (whether it has it is certain) or '',
--       memo (JSON), pace (the slot of the call is reserved, see command_claim.lua) or nothing
-- A `sent_at` that the memo leaves open is now.
-- Returns {now, the slot or nothing}, or {} when the claim is no longer ours.
local id, token, lease, sent, memo = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local key = command_key(id)
local rec = read(key, 'claim', 'order', 'crashes')
if rec.claim ~= token then return {} end
if not renew_order(rec.order, token, lease) and not take_order(rec.order, token, lease) then return {} end
local ends = seconds(now + lease)
redis.call('HSET', key, 'until', ends,
  'memo', (string.gsub(memo, '"sent_at": null', '"sent_at": ' .. seconds(now), 1)))
if sent == 'sent' then redis.call('HSET', key, 'sent', '1') end
if sent == 'known' then redis.call('HDEL', key, 'sent') end
if rec.crashes then renew_alone(token, lease) end
redis.call('ZADD', CDUE, ends, id)
return {seconds(now), ARGV[6] and reserve(6) or {}}
