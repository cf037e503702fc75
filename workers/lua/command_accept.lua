-- What an ERP asks for is recorded; only then is it told that it was accepted.
-- ARGV: command id, kind, order id, payload (JSON), fingerprint, patience, then for whoever carries it at once token,
--       lease, pace (see command_claim.lua)
-- Returns {'new', 'open'}; {'same', state} for a repeat of the same; {'other', state} when the id is another's. What
-- command_claim.lua returns comes third, if it is to be carried.
-- An id whose request could not be used at all (command_refuse.lua) is free for a better one.
local id, kind, order, payload, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local patience = tonumber(ARGV[6])
local key = command_key(id)

local function carry(verdict, state)
  local at_once = ARGV[7] and claim_command(id, ARGV[7], tonumber(ARGV[8]), false, ARGV[9] and 9)
  return {verdict, state, at_once}
end

local rec = read(key, 'state', 'fingerprint', 'void', 'order', 'log')
if rec.state and not rec.void then
  if rec.fingerprint ~= fingerprint then return {'other', rec.state} end
  return carry('same', rec.state)
end
if rec.void then
  redis.call('HDEL', key, 'void', 'outcome', 'ended')
  redis.call('PERSIST', key)
  redis.call('ZREM', CTELL, id)
  redis.call('ZREM', commands_key(rec.order), id)
end
redis.call('SET', P .. 'began', seconds(now), 'NX') -- what was before, this ledger cannot know
local place = redis.call('INCR', P .. 'cplace')
redis.call('HSET', key, 'v', VERSION, 'kind', kind, 'order', order, 'payload', payload, 'fingerprint', fingerprint,
  'born', seconds(now), 'place', place, 'queued', seconds(now), 'state', 'open', 'log', noted(rec.log, 'accepted', kind))
move_totals(CCOUNTS, rec.state, 'open', 1)
line_up(id, order, place)
redis.call('ZADD', CDUE, seconds(now + patience), id)
return carry('new', 'open')
