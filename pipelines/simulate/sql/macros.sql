-- macros that the other texts use; `set variable seed` comes first

-- the same number in [0, 1) for the same patient, purpose and seed, whatever the order of the rows
create macro world.draw(who, salt) as (hash(who, salt, getvariable('seed')) % 1000003) / 1000003.0;
create macro world.steps(who, salt, n) as floor(world.draw(who, salt) * (n + 1))::integer;
create macro world.pick(choices, share) as choices[1 + floor(share * len(choices))::integer];
-- one of n choices by n - 1 rising bounds
create macro world.weighted(choices, bounds, share) as choices[1 + len(list_filter(bounds, lambda b: share >= b))];
create macro world.shuffled(who, salt, items) as list_transform(
    list_sort(list_transform(items, lambda x: {share: world.draw(who, salt || x), item: x})), lambda s: s.item
);
-- worst grade of one toxicity group; the event that interrupts pazopanib is a severe one
create macro world.severity(who, name, reason, grades, bounds) as
    case when name = reason then grades[len(grades)] else world.weighted(grades, bounds, world.draw(who, 'tox ' || name)) end;

-- diameters are read in half millimetres
create macro world.half(mm) as round(mm * 2) / 2;
create macro world.half_up(mm) as ceil(mm * 2) / 2;
create macro world.noisy(mm, noise, who, dt) as
    case when mm = 0 then 0 else world.half(mm) + noise * (world.steps(who, dt::varchar, 2) - 1) end;

-- Monday to Friday
create macro world.weekday(dt) as dt + case isodow(dt) when 6 then 2 when 7 then 1 else 0 end;
create macro world.working_days(first, last) as
    list_filter(generate_series(first, last, interval 1 day), lambda d: isodow(d) < 6);
create macro world.working_day(first, n) as
    first + ((isodow(first) - 1 + n - 1) // 5 * 7 + (isodow(first) - 1 + n - 1) % 5 - (isodow(first) - 1))::integer;

-- check character of a study code without hyphens (ISO 7064 mod 37,36)
create macro world.code_values(code) as list_transform(
    string_split(code, ''), lambda c: (instr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', c) - 1)::integer
);
create macro world.mod_36(n) as case when n % 36 = 0 then 36 else n % 36 end;
create macro world.mod_37_36(code) as
    list_reduce(world.code_values(code), lambda p, v: (world.mod_36(p + v) * 2) % 37, 36);
create macro world.check_char(code) as
    substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', (1 + (37 - world.mod_37_36(code)) % 36)::integer, 1);
