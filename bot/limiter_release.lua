-- Takes in what one answer says about limits. See limiter_acquire.lua; newslots, newbucket and rule are those of the name by
-- which the answer calls the bucket, which may be the same.
local state, global, names, invalid, refused, slots, newslots, newbucket, rule =
	KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local route, name, newname, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local status, limit, remaining, reset, retry = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local isglobal, shared, ours, remember = ARGV[10] == '1', ARGV[11] == '1', ARGV[12] == '1', ARGV[13] == '1'
local day = 86400000

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

if redis.call('ZREM', global, id) == 1 then
	redis.call('ZADD', global, now + 1000, id)
end
if newname ~= name then
	if redis.call('HLEN', names) >= 10000 then redis.call('DEL', names) end
	redis.call('HSET', names, route, newname)
	redis.call('PEXPIRE', names, day)
end

local known = redis.call('HMGET', rule, 'limit', 'window', 'cap', 'capuntil', 'capwindow', 'captimes')
local window = tonumber(known[2] or 0)
if status > 0 and status ~= 429 and newname ~= '' and limit > 0 and remaining >= 0 then
	if known[1] and tonumber(known[1]) ~= limit then window = 0 end
	window = math.max(window, reset)
	limit = math.min(limit, 1000)
	redis.call('HSET', rule, 'limit', limit, 'window', window)
	redis.call('PEXPIRE', rule, day)
	if remaining == 0 then
		-- Somebody else may use the same token: what Discord says is left counts, not only what we know of.
		redis.call('HSET', newbucket, 'until', now + reset)
		redis.call('PEXPIRE', newbucket, reset + 1000)
	end
end

if status == 429 then
	if isglobal then
		local till = tonumber(redis.call('HGET', state, 'until') or 0)
		redis.call('HSET', state, 'until', math.max(till, now + retry))
	else
		redis.call('HSET', newbucket, 'until', now + retry)
		redis.call('PEXPIRE', newbucket, retry + 1000)
		if not shared and newname ~= '' then
			-- The headers promised more than there is. A limit that the refusal itself states is believed for an hour. Otherwise it
			-- may have been chance, or somebody else with our token: half of what was used is believed for half a minute, and
			-- for twice as long each time that turns out to have been too short.
			local active = known[4] and tonumber(known[4]) > now
			local cap, pause = math.floor(redis.call('ZCARD', slots) / 2), 3600000
			local times = tonumber(known[6] or 0)
			if known[4] and tonumber(known[4]) + 3600000 < now then times, known[5] = 0, false end
			if limit > 0 and (not known[1] or limit < tonumber(known[1])) then
				cap = limit
			else
				if not active then times = times + 1 end
				pause = math.min(30000 * 2 ^ math.max(times - 1, 0), pause)
			end
			cap = math.max(1, cap)
			local till = now + pause
			if active then
				cap = math.min(cap, tonumber(known[3]))
				till = math.max(till, tonumber(known[4]))
			end
			window = math.max(window, math.min(math.max(retry, reset), 60000), tonumber(known[5] or 0))
			redis.call('HSET', rule, 'cap', cap, 'capuntil', till, 'capwindow', window, 'captimes', math.min(times, 20))
			redis.call('PEXPIRE', rule, day)
			known[4], known[5] = tostring(till), tostring(window)
		end
	end
end
if known[4] and tonumber(known[4]) > now then window = math.max(window, tonumber(known[5])) end

-- The place in the bucket is free one window from now.
redis.call('ZREM', slots, id)
redis.call('ZADD', newslots, now + window, id)
if redis.call('PTTL', newslots) < window + 2000 then redis.call('PEXPIRE', newslots, window + 2000) end

if status == 401 or status == 403 or (status == 429 and not shared) then
	redis.call('HINCRBY', invalid, math.floor(now / 60000), 1)
	redis.call('PEXPIRE', invalid, 720000)
end
if ours then
	local n = redis.call('HINCRBY', state, 'refusals', 1)
	redis.call('HSET', state, 'refused', now + math.min(60000 * 2 ^ math.min(n - 1, 10), 3600000))
elseif status > 0 and status < 400 and redis.call('HGET', state, 'probe') == id then
	-- What was under way when the token was refused says nothing about it any more.
	redis.call('HDEL', state, 'refusals', 'refused', 'probe')
end
if redis.call('EXISTS', state) == 1 then redis.call('PEXPIRE', state, day) end

if remember then
	local no = redis.call('HGET', refused, route)
	if status == 403 then
		local n = 0
		if no then n = tonumber(string.match(no, ':(%d+)$')) end
		local pause = math.min(15000 * 4 ^ math.min(n, 10), 21600000)
		redis.call('HSET', refused, route, string.format('%d:%d', now + pause, n + 1))
		redis.call('PEXPIRE', refused, day)
	elseif no and status > 0 and status < 400 then
		redis.call('HDEL', refused, route)
	end
end
return 0
