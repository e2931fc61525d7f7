-- Statements that would take a server with them, one a line; {n} is a digit from 1 to 9. Each ends alone, with an error.
-- Functions that make more than they are given, folded while the statement is planned.
select cardinality(array_repeat(1,{n}000000000))
select cardinality(array_repeat(make_array(1,2,3),{n}000000000))
select cardinality(array_resize(make_array(1),{n}000000000))
select length(replace(repeat('a',{n}00000),'a',repeat('b',100000)))
select length(repeat('x',{n}000000000))
select length(repeat(repeat('x',{n}0000000),100))
select length(rpad('x',{n}00000000,'y'))
select length(lpad('x',{n}00000000,'y'))
select length(regexp_replace(repeat('a',{n}00000),'a',repeat('b',100000),'g'))
select cardinality(range(0,{n}000000000))
select cardinality(generate_series(0,{n}000000000))
select cardinality(generate_series(date '0001-01-01', date '{n}900-01-01', interval '1 minute'))
select length(array_to_string(range(0,1000000), repeat('y',{n}00000)))
select levenshtein(repeat('a',{n}00000),repeat('b',{n}00000))
-- The same, row by row.
select max(length(repeat(kind,{n}00000000))) from event
select max(cardinality(array_repeat("index",{n}00000000))) from event
select max(length(lpad(kind,{n}00000000,'y'))) from event
select max(levenshtein(repeat(kind,{n}0000),repeat(id_source,{n}0000))) from event
select max(length(replace(repeat(kind,{n}0000),'s',repeat('b',100000)))) from event
-- Operators without an end.
select count(*) from generate_series(1,{n}00000) a, generate_series(1,100000) b, generate_series(1,100000) c
select sum(a.value * b.value) from generate_series(1,{n}000000) a, generate_series(1,1000000) b
select count(*) from generate_series(1,{n}00000) a left join generate_series(1,1000000) b on a.value > b.value
select count(*) from generate_series(1,{n}00000) a full join generate_series(1,1000000) b on a.value > b.value
select count(*) from generate_series(1,{n}00000) a, generate_series(1,1000000) b where a.value % 7 = b.value % 7
select count(*) from generate_series(1,{n}0000) a where exists (select 1 from generate_series(1,10000000) b where b.value * a.value = -1)
select count(distinct a.value * b.value) from generate_series(1,{n}0000) a, generate_series(1,1000000) b
select count(*) from (select distinct a.value * 1000003 + b.value from generate_series(1,{n}0000) a, generate_series(1,1000000) b) t
select a.value % 1000, count(*) from generate_series(1,{n}00000) a, generate_series(1,1000000) b group by 1
select a.value from generate_series(1,{n}0000) a, generate_series(1,1000000) b order by a.value * b.value desc
select a.value from generate_series(1,{n}0000) a, generate_series(1,1000000) b order by a.value * b.value desc limit 3
select max(n) from (select row_number() over (order by a.value * b.value) as n from generate_series(1,{n}000) a, generate_series(1,1000000) b) t
select max(n) from (select sum(b.value) over (partition by a.value % 7 order by b.value) as n from generate_series(1,{n}000) a, generate_series(1,1000000) b) t
select count(*) from (select value from generate_series(1,{n}000000000) union all select value from generate_series(1,900000000000)) t
select count(*) from (select value from generate_series(1,{n}0000000000) intersect select value from generate_series(1,90000000000)) t
select count(*) from (select value from generate_series(1,{n}0000000000) except select value from generate_series(1,90000000000)) t
with recursive r as (select {n} as n union all select n + 1 from r) select count(*) from r
with recursive r as (select {n} as n union select (n * 7 + 1) % 1000000007 from r) select count(*) from r
with recursive r as (select 'aaaaaaaaaaaaaaa{n}' as t union all select t || t from r) select max(length(t)) from r
select count(*) from (select unnest(range(0,{n}000000)) as n) t, generate_series(1,1000000) s where n % 7 = 1
select string_agg(repeat('z',{n}000),'y') from generate_series(1,100000000)
select cardinality(array_agg(repeat('z',{n}000))) from generate_series(1,100000000)
explain analyze select count(*) from generate_series(1,{n}00000) a, generate_series(1,100000) b, generate_series(1,100000) c
