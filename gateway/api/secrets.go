package api

import (
	"net/http"

	"davit/gateway/edge"
	"davit/internal/faas"
)

func (ss *secretsAPI) list(r *edge.Request) error {
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := ss.store.List(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, listOf(items, next))
}

func (ss *secretsAPI) get(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	s, err := ss.store.Find(r.Context(), name)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, s)
}

func (ss *secretsAPI) put(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, ss.limits.JSONBytes)
	if err != nil {
		return err
	}
	var sent struct {
		Value string `json:"value"`
	}
	if err := decodeJSON(body, &sent); err != nil {
		return err
	}
	created, err := ss.store.Put(r.LastingContext(), name, sent.Value)
	if err != nil {
		return err
	}
	s, err := ss.store.Find(r.Context(), name)
	if err != nil {
		return err
	}
	if !created {
		return sendJSON(r, http.StatusOK, s)
	}
	r.Set("Location", "/v1/secrets/"+string(name))
	return sendJSON(r, http.StatusCreated, s)
}

func (ss *secretsAPI) delete(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	if err := ss.store.Delete(r.LastingContext(), name); err != nil {
		return err
	}
	return sendNothing(r)
}
