-- What is not finished, for people and their tools. ARGV: how many to look at
-- Returns {seconds since the oldest was first seen, then state, step, how many, state, step, how many ...}
local counted, oldest, found = {}, now, {}
for _, id in ipairs(redis.call('ZRANGE', DUE, 0, tonumber(ARGV[1]) - 1)) do
  local rec = read(order_key(id), 'state', 'step', 'born')
  if rec.state == 'open' or rec.state == 'parked' then
    local what = rec.state .. ' ' .. (rec.step or '')
    counted[what] = (counted[what] or 0) + 1
    oldest = math.min(oldest, tonumber(rec.born) or now)
  end
end
for what, n in pairs(counted) do
  local state, step = string.match(what, '^(%S+) (%S*)$')
  found[#found + 1] = state
  found[#found + 1] = step
  found[#found + 1] = n
end
table.insert(found, 1, seconds(now - oldest))
return found
