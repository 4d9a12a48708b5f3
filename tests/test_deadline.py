"A request ends when its time is up, whatever a server sends; tests/faults has servers of every kind"
import socket,threading,time

import pytest

from galfast.base.deadline import Watch,watched_session

@pytest.fixture
def server():
    "Servers that send bytes, and then others for ever"
    made = []
    def _serve(start, again=b''):
        srv = socket.create_server(('127.0.0.1', 0))
        made.append(srv)
        def _run():
            c,_ = srv.accept()
            c.recv(10_000)
            try:
                c.sendall(start)
                while again: c.sendall(again); time.sleep(.01)
                c.close()
            except OSError: pass
        threading.Thread(target=_run, daemon=True).start()
        return f'http://127.0.0.1:{srv.getsockname()[1]}/'
    yield _serve
    for o in made: o.close()

whole = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ngalaxy'
endless = b'HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n'

def test_what_comes_in_time(server):
    with Watch(30) as w: assert watched_session().get(server(whole)).content==b'galaxy'
    assert not w.late

def test_what_goes_on_for_ever(server):
    t0 = time.monotonic()
    with pytest.raises(TimeoutError, match='the time is up'), Watch(.2): watched_session().get(server(endless, b'x'))
    assert .15<time.monotonic()-t0<20

def test_each_thread_has_its_own_time(server):
    "One that is late cuts its own connection"
    late = threading.Thread(target=lambda: pytest.raises(TimeoutError, test_late))
    url = server(endless, b'x')
    def test_late():
        with Watch(.1): watched_session().get(url)
    with Watch(30):
        late.start()
        late.join()
        assert watched_session().get(server(whole)).content==b'galaxy'

def test_an_error_of_ones_own_in_time():
    with pytest.raises(ZeroDivisionError), Watch(30): 1/0 # noqa: B018

def test_who_stops_it_is_heard(server):
    "Ctrl-C is no lack of time"
    w = Watch(.05)
    with pytest.raises(KeyboardInterrupt), w:
        time.sleep(.2)
        raise KeyboardInterrupt
    assert w.late

def test_no_request_without_time(server):
    w = Watch(.05)
    with pytest.raises(TimeoutError), w: time.sleep(.2)
    with pytest.raises(TimeoutError), w: watched_session().get(server(whole))
