-- Decides whether one request may go out now, for all processes at once. It touches nine keys of one hash slot; the sorted sets
-- hold at most as many members as the limits allow, the hashes a bounded number of fields, and each key expires.
--
-- A request holds a place in the global window and in its bucket's, from here until one window after its answer. Discord
-- counts it somewhere in between, so no window of Discord's can hold more of our requests than there are places, however
-- long the network takes.
local state, global, names, processes, invalid, refused, slots, bucket, rule =
	KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local route, name, id, process, background = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local limit, reserve, lease, brake, probe = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('ZADD', processes, now, process)
redis.call('ZREMRANGEBYSCORE', processes, '-inf', now - 60000)
redis.call('PEXPIRE', processes, 120000)
local count = redis.call('ZCARD', processes)

-- Another process may have learnt what Discord calls the bucket.
local called = redis.call('HGET', names, route) or ''
if called ~= name then return {'name', called, 0, count, 0, 0} end

-- What was refused before is not asked.
local minute, refusals, oldest = math.floor(now / 60000), 0, nil
local minutes = redis.call('HGETALL', invalid)
for i = 1, #minutes, 2 do
	local m = tonumber(minutes[i])
	if m <= minute - 11 then
		redis.call('HDEL', invalid, minutes[i])
	else
		refusals = refusals + tonumber(minutes[i + 1])
		if not oldest or m < oldest then oldest = m end
	end
end
local function answer(what, wait, used) return {what, called, math.ceil(wait), count, refusals, used} end
if refusals >= brake then return answer('invalid', (oldest + 11) * 60000 - now, 0) end
local said = redis.call('HMGET', state, 'until', 'refused')
local probing = false
if said[2] then
	if tonumber(said[2]) > now then return answer('refused', tonumber(said[2]) - now, 0) end
	probing = true
end
local no = redis.call('HGET', refused, route)
if no then
	local till = tonumber(string.match(no, '^(%d+)'))
	if till > now then return answer('forbidden', till - now, 0) end
end

-- When there is a place in both windows.
local wait = 0
local function atleast(ms) if ms > wait then wait = ms end end
if said[1] then atleast(tonumber(said[1]) - now) end

redis.call('ZREMRANGEBYSCORE', global, '-inf', now)
local used = redis.call('ZCARD', global)
local room = limit
if background then room = limit - reserve end
local function untilfree(set)
	local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
	if #first == 0 then return 1 end
	-- What is under way has a place for as long as it may take at most; most are answered soon.
	return math.max(1, math.min(tonumber(first[2]) - now, 1000))
end
if used >= room then atleast(untilfree(global)) end

redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
local taken = redis.call('ZCARD', slots)
local known = redis.call('HMGET', rule, 'limit', 'cap', 'capuntil')
local places = 1 -- Until an answer tells, one at a time.
if name ~= '' then
	places = tonumber(known[1] or 1)
	if known[2] and tonumber(known[3]) > now and tonumber(known[2]) < places then places = tonumber(known[2]) end
end
if taken >= places then
	local ms = untilfree(slots)
	if name == '' then ms = math.min(ms, 50) end
	atleast(ms)
end
local till = redis.call('HGET', bucket, 'until')
if till then atleast(tonumber(till) - now) end
if wait > 0 then return answer('wait', wait, used) end

-- One goes out to see whether Discord has changed its mind; others wait for it.
if probing then redis.call('HSET', state, 'refused', now + probe, 'probe', id) end
if no then redis.call('HSET', refused, route, (now + probe) .. ':' .. string.match(no, ':(%d+)$')) end
redis.call('ZADD', global, now + lease, id)
redis.call('PEXPIRE', global, lease + 2000)
redis.call('ZADD', slots, now + lease, id)
if redis.call('PTTL', slots) < lease + 2000 then redis.call('PEXPIRE', slots, lease + 2000) end
return answer('go', 0, used + 1)
