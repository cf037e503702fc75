-- The account was told 429: everybody pauses. ARGV: what VTEX asked for ('' = nothing), the default, the longest
-- Many calls in flight get the same answer: they count as one. Returns how long the pause is.
local asked, default, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rec = read(P .. 'cool', 'until', 'level')
local ends, level = tonumber(rec['until'] or 0), tonumber(rec.level or 0)
if ends > now then
  if asked and now + asked > ends then
    redis.call('HSET', P .. 'cool', 'until', seconds(now + asked))
    redis.call('EXPIRE', P .. 'cool', math.ceil(asked + default) + 1)
  end
  return seconds(math.max(ends - now, asked or 0))
end
level = (ends > 0 and now - ends < default) and level + 1 or 0
local pause = asked or math.min(default * 2 ^ level, longest)
redis.call('HSET', P .. 'cool', 'until', seconds(now + pause), 'level', level)
redis.call('EXPIRE', P .. 'cool', math.ceil(pause + default) + 1)
count('cooldowns')
return seconds(pause)
