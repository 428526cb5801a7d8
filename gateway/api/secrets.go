package api

import (
	"net/http"

	"davit/gateway/edge"
	"davit/internal/faas"
)

func (k *console) listSecrets(r *edge.Request) error {
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Secrets.List(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, listOf(items, next))
}

func (k *console) getSecret(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	s, err := k.Secrets.Find(r.Context(), name)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, s)
}

func (k *console) putSecret(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, k.Limits.JSONBytes)
	if err != nil {
		return err
	}
	var sent struct {
		Value string `json:"value"`
	}
	if err := decodeJSON(body, &sent); err != nil {
		return err
	}
	created, err := k.Secrets.Put(r.LastingContext(), name, sent.Value)
	if err != nil {
		return err
	}
	s, err := k.Secrets.Find(r.Context(), name)
	if err != nil {
		return err
	}
	if !created {
		return sendJSON(r, http.StatusOK, s)
	}
	r.Set("Location", "/v1/secrets/"+string(name))
	return sendJSON(r, http.StatusCreated, s)
}

func (k *console) deleteSecret(r *edge.Request) error {
	name, err := pathName[faas.SecretName](r)
	if err != nil {
		return err
	}
	if err := k.Secrets.Delete(r.LastingContext(), name); err != nil {
		return err
	}
	return sendNothing(r)
}
