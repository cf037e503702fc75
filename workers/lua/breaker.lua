-- How many of the calls of this moment failed. ARGV: scope, calls, failed among them, seconds of a moment
-- Returns {calls, failed}, these included
local key, window = P .. 'breaker:' .. ARGV[1], tonumber(ARGV[4])
local since = tonumber(redis.call('HGET', key, 'since') or 0)
if now - since > window then
  redis.call('DEL', key)
  redis.call('HSET', key, 'since', seconds(now))
  redis.call('EXPIRE', key, math.ceil(window) + 1)
end
return {redis.call('HINCRBY', key, 'calls', tonumber(ARGV[2])), redis.call('HINCRBY', key, 'failed', tonumber(ARGV[3]))}
