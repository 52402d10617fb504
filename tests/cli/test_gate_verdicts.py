from __future__ import annotations
def test_x(site):
    import time
    t=time.time()
    from conftest import rows, copies
    site.write("in/a.parquet", rows(200,5))
    d=site.call("gate","in/a.parquet"); print(d.out,d.err,d.code, time.time()-t)
    site.write("in/b.parquet", copies(rows(200,6),30)); t=time.time()
    d=site.call("gate","in/b.parquet"); print(d.out,d.err,d.code, time.time()-t)
    t=time.time()
    d=site.auditor("gate","in/b.parquet"); print(d.out,d.err,d.code, time.time()-t)
    assert 0
