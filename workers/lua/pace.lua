-- The pace of a whole account (GCRA): reserve the next slot, unless it is too far away.
-- ARGV: seconds between two calls, burst (calls), the longest wait that is worth holding a worker for,
--       the longest time after which to come back
-- Returns {1, wait} reserved: call after that many seconds; {0, wait} not reserved: come back then.
local interval, burst, longest, farthest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cool = tonumber(redis.call('HGET', P .. 'cool', 'until') or 0)
if cool > now then return {0, seconds(cool - now)} end
local slot = math.max(tonumber(redis.call('GET', P .. 'pace') or 0), now - (burst - 1) * interval)
local wait = slot - now
if wait > longest then
  -- Who must come back comes in turn and not all at once. A little closer than the slots are, as each adds its jitter.
  local turn = math.max(tonumber(redis.call('GET', P .. 'turn') or 0) + 0.8 * interval, slot)
  if turn - now > farthest then turn = slot end
  redis.call('SET', P .. 'turn', string.format('%.6f', turn), 'PX', math.ceil((turn - now) * 1000) + 1000)
  return {0, seconds(turn - now)}
end
redis.call('SET', P .. 'pace', string.format('%.6f', slot + interval), 'PX', math.ceil((math.max(wait, 0) + interval) * 1000) + 1000)
return {1, seconds(math.max(wait, 0))}
