import pyarrow as pa, orjson
def extract(text, columns):
    out={}
    for c in columns:
        keys=c.path.split('.')[1:]
        vals=[]
        for t in text.to_pylist():
            v=orjson.loads(t) if t else None
            for k in keys: v=v.get(k) if isinstance(v,dict) else None
            vals.append(v)
        out[c.path]=pa.array(vals,c.type)
    return out
def replace(text,path,new):
    out=[]
    for t,n in zip(text.to_pylist(),new.to_pylist()):
        if t is None or n is None: out.append(t); continue
        d=orjson.loads(t); v=d
        for k in path[:-1]: v=v[k]
        v[path[-1]]=n; out.append(orjson.dumps(d).decode())
    return pa.array(out,pa.string())
def remove(text,path): return text
