"The pace of requests on a simulated clock: faults, an outage, one bad object, a service that is too slow"
import heapq,math,random
from bisect import bisect_left
from collections import Counter

import pytest

from galfast.surveys.net import Pacer

class World:
    "A client with a queue and a service, on a clock of their own"
    def __init__(self, rate, serve, in_flight=4, latency=.1, seed=0, most_tries=math.inf):
        self.now,self.rng = 0.,random.Random(seed)
        self.pacer = Pacer(rate, in_flight, clock=lambda: self.now)
        self.serve,self.in_flight,self.latency,self.most_tries = serve,in_flight,latency,most_tries # `serve`: (world, what) -> True, or the seconds to wait that the failure tells, None for none
        self.starts,self.good,self.again,self.new,self.turn,self.tries = [],[],[],0,False,Counter()
    def what(self):
        "By turns a thing that was set aside and is due, and a new one"
        self.turn = not self.turn
        if self.turn and self.again and self.again[0][0]<=self.now: return heapq.heappop(self.again)[1]
        self.new += 1
        return self.new
    def run(self, until):
        free,replies = [0.]*self.in_flight,[] # since when each idle worker is so; (when, what) of what is under way
        while True:
            due = self.pacer.due(min(free)) if free else math.inf
            if replies and replies[0][0]<=due: # it comes before the next turn, and may change the pace
                self.now,what = heapq.heappop(replies)
                free.append(self.now)
                self.reply(what)
            elif due>until: return self
            else:
                self.now,came = due,min(free)
                free.remove(came)
                self.pacer.begin(came)
                self.starts.append(due)
                heapq.heappush(replies, (due+self.latency, self.what()))
    def reply(self, what):
        res = self.serve(self, what)
        if res is True:
            self.good.append(self.now)
            self.pacer.good()
        else:
            self.pacer.bad(what, res)
            self.tries[what] += 1
            if self.tries[what]<self.most_tries: heapq.heappush(self.again, (self.now+max(self.rng.uniform(0, min(2**self.tries[what], 60)), res or 0), what))

def between(times, a, b): return sum(a<=t<b for t in times)/(b-a)
def tenth(w, what): return w.rng.choice([None,None,None,1.]) if w.rng.random()<.1 else True # 503, a reset, a cut body, 429 with Retry-After 1

@pytest.mark.parametrize('rate', [1., 4., 10., 20., 50., 100.])
@pytest.mark.parametrize('seed', range(3))
def test_a_tenth_of_the_replies_fail(rate, seed):
    w = World(rate, tenth, in_flight=max(4, int(rate/4)), seed=seed).run(300)
    assert len(w.starts)/300>=.9*rate and len(w.good)/300>=.8*rate
    assert max(bisect_left(w.starts, t+1)-i for i,t in enumerate(w.starts))<=rate+1 # and never more than was asked

@pytest.mark.parametrize('rate', [.5, 1., 4., 20., 100.])
@pytest.mark.parametrize('wait', [None, 5.])
def test_five_minutes_of_outage(rate, wait):
    w = World(rate, lambda w, what: wait if 60<=w.now<360 else True, in_flight=max(4, int(rate/4))).run(600)
    assert between(w.starts, 120, 360)<=rate/4 # it is spared
    assert between(w.good, 420, 600)>=.9*rate and w.pacer.rate==rate # and back within a minute

@pytest.mark.parametrize('wait', [None, 1., 60.])
@pytest.mark.parametrize('rate', [4., 50.])
def test_one_bad_object_slows_nobody(rate, wait):
    w = World(rate, lambda w, what: wait if what==3 else True, in_flight=16).run(300)
    assert w.pacer.rate==rate and len(w.starts)/300>.95*rate

def test_bad_objects_at_the_head():
    w = World(20., lambda w, what: None if what<=40 else True, in_flight=8, most_tries=5).run(300)
    assert between(w.starts, 150, 300)>.9*20

def test_one_cut_a_window():
    now = [0.]
    p = Pacer(64., 8, clock=lambda: now[0])
    for i in range(1000): p.bad(i)
    assert p.rate==32 # however many fail at one moment
    now[0] = 1.
    for i in range(1000): p.bad(i)
    assert p.rate==16

def test_what_a_service_bears_is_found():
    "A service that takes 8 a second answers 429 to the rest; 20 are asked for"
    def serve(w, what):
        took = sum(t>w.now-1 for t in w.good[-30:])
        return True if took<8 else 1.
    w = World(20., serve, in_flight=8).run(300)
    assert 4<len(w.good)/300<=8.1 and len(w.starts)/300<12

def test_told_to_wait():
    "Three different requests that are told to wait stop all of them, to the second"
    w = World(10., lambda w, what: 30. if 10<=w.now<10.5 else True).run(100)
    quiet = [(a, b) for a,b in zip(w.starts, w.starts[1:]) if b-a>20]
    assert len(quiet)==1 and 40<=quiet[0][1]<42

def test_no_pace_was_asked_for():
    "`rate` 0: as fast as replies come; slower while the service fails, and free again after it"
    w = World(0., lambda w, what: None if 20<=w.now<40 else True, in_flight=4, latency=.02).run(120)
    assert between(w.starts, 0, 20)>190 and between(w.starts, 25, 40)<60 and between(w.starts, 80, 120)>190
    assert w.pacer.rate==math.inf
