// A vCenter for tests: govmomi's simulator with what it lacks and a test needs.
//
// It adds to the library: pages of the PropertyCollector (maxObjects and continuing by token), an
// IP address, VMware Tools and a change version in every virtual machine, and tasks that go on until
// a test ends them (/control/...).
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// rest is what a page left over, until it is continued or cancelled; it belongs to no session,
// since the simulator gives every session a collector of its own.
type rest struct {
	spec types.PropertyFilterSpec
	refs []types.ManagedObjectReference
	max  int
}

var (
	restsLock sync.Mutex
	rests     = map[string]rest{}
	lastToken int
)

// pagedCollector reads no more objects than it was asked for, where they come from one view or
// one list of objects.
type pagedCollector struct {
	simulator.PropertyCollector
}

func objectsOf(ctx *simulator.Context, set []types.ObjectSpec) []types.ManagedObjectReference {
	if len(set) == 1 && set[0].SelectSet != nil {
		if view, ok := ctx.Session.Get(set[0].Obj).(*simulator.ContainerView); ok {
			return view.View
		}
		return nil
	}
	refs := make([]types.ManagedObjectReference, 0, len(set))
	for _, each := range set {
		if each.SelectSet != nil {
			return nil
		}
		refs = append(refs, each.Obj)
	}
	return refs
}

func (c *pagedCollector) page(ctx *simulator.Context, left rest) (*types.RetrieveResult, *soap.Fault) {
	now := left.refs
	if len(now) > left.max {
		now = now[:left.max]
	}
	spec := types.PropertyFilterSpec{
		PropSet:                       left.spec.PropSet,
		ReportMissingObjectsInResults: left.spec.ReportMissingObjectsInResults,
	}
	for _, ref := range now {
		spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: ref})
	}
	res := c.PropertyCollector.RetrievePropertiesEx(ctx, &types.RetrievePropertiesEx{
		SpecSet: []types.PropertyFilterSpec{spec},
	})
	if fault := res.Fault(); fault != nil {
		return nil, fault
	}
	result := res.(*methods.RetrievePropertiesExBody).Res.Returnval
	if len(left.refs) > len(now) {
		left.refs = left.refs[len(now):]
		restsLock.Lock()
		lastToken++
		result.Token = strconv.Itoa(lastToken)
		rests[result.Token] = left
		restsLock.Unlock()
	}
	return result, nil
}

func (c *pagedCollector) RetrievePropertiesEx(ctx *simulator.Context, r *types.RetrievePropertiesEx) soap.HasFault {
	if ctx.Session == nil || r.Options.MaxObjects == 0 || len(r.SpecSet) != 1 {
		return c.PropertyCollector.RetrievePropertiesEx(ctx, r)
	}
	refs := objectsOf(ctx, r.SpecSet[0].ObjectSet)
	if refs == nil {
		return c.PropertyCollector.RetrievePropertiesEx(ctx, r)
	}
	body := &methods.RetrievePropertiesExBody{}
	result, fault := c.page(ctx, rest{r.SpecSet[0], refs, int(r.Options.MaxObjects)})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.RetrievePropertiesExResponse{Returnval: result}
	return body
}

func take(token string) (rest, bool) {
	restsLock.Lock()
	defer restsLock.Unlock()
	left, ok := rests[token]
	delete(rests, token)
	return left, ok
}

func invalidToken() *soap.Fault {
	return simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})
}

func (c *pagedCollector) ContinueRetrievePropertiesEx(ctx *simulator.Context, r *types.ContinueRetrievePropertiesEx) soap.HasFault {
	body := &methods.ContinueRetrievePropertiesExBody{}
	left, ok := take(r.Token)
	if !ok {
		body.Fault_ = invalidToken()
		return body
	}
	result, fault := c.page(ctx, left)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.ContinueRetrievePropertiesExResponse{Returnval: *result}
	return body
}

func (c *pagedCollector) CancelRetrievePropertiesEx(ctx *simulator.Context, r *types.CancelRetrievePropertiesEx) soap.HasFault {
	body := &methods.CancelRetrievePropertiesExBody{}
	if _, ok := take(r.Token); !ok {
		body.Fault_ = invalidToken()
		return body
	}
	body.Res = &types.CancelRetrievePropertiesExResponse{}
	return body
}

// heldTasks run until a test ends them.
type heldTasks struct {
	sync.Mutex
	ends map[string]chan types.BaseMethodFault
	all  map[string]*simulator.Task
}

func (h *heldTasks) start(w http.ResponseWriter, r *http.Request) {
	vm := simulator.Map.Get(types.ManagedObjectReference{Type: "VirtualMachine", Value: r.FormValue("vm")})
	if vm == nil {
		http.Error(w, "no such virtual machine", http.StatusNotFound)
		return
	}
	end := make(chan types.BaseMethodFault)
	started := make(chan bool)
	task := simulator.CreateTask(vm, "cloneVm", func(t *simulator.Task) (types.AnyType, types.BaseMethodFault) {
		close(started)
		return nil, <-end
	})
	h.Lock()
	h.ends[task.Self.Value], h.all[task.Self.Value] = end, task
	h.Unlock()
	go task.Run()
	<-started
	fmt.Fprint(w, task.Self.Value)
}

func (h *heldTasks) progress(w http.ResponseWriter, r *http.Request) {
	h.Lock()
	task := h.all[r.FormValue("task")]
	h.Unlock()
	percent, err := strconv.Atoi(r.FormValue("percent"))
	if task == nil || err != nil {
		http.Error(w, "no such task, or no number", http.StatusNotFound)
		return
	}
	simulator.Map.Update(task, []types.PropertyChange{{Name: "info.progress", Val: int32(percent)}})
}

func (h *heldTasks) end(w http.ResponseWriter, r *http.Request) {
	h.Lock()
	end := h.ends[r.FormValue("task")]
	delete(h.ends, r.FormValue("task"))
	h.Unlock()
	if end == nil {
		http.Error(w, "no such task", http.StatusNotFound)
		return
	}
	if r.FormValue("fault") != "" {
		end <- &types.NoDiskSpace{Datastore: r.FormValue("fault")}
		return
	}
	end <- nil
}

func furnish() {
	for number, each := range simulator.Map.All("VirtualMachine") {
		vm := each.(*simulator.VirtualMachine)
		vm.Config.ChangeVersion = "2026-01-01T00:00:00.000001Z"
		vm.Guest.ToolsRunningStatus = "guestToolsRunning"
		vm.Guest.IpAddress = fmt.Sprintf("10.%d.%d.%d", number>>16&255, number>>8&255, number&255)
		vm.Summary.Guest.IpAddress = vm.Guest.IpAddress
	}
}

func main() {
	listen := flag.String("l", "127.0.0.1:0", "listen address")
	user := flag.String("u", "user", "user name")
	certificate := flag.String("cert", "", "PEM file of the certificate; without one it speaks HTTP")
	key := flag.String("key", "", "PEM file of its key")
	vms := flag.Int("vm", 2, "virtual machines per pool, of which there are two")
	hosts := flag.Int("hosts", 3, "hosts of the cluster")
	datastores := flag.Int("datastores", 2, "datastores")
	idle := flag.Duration("idle", 0, "a session ends after this long unused; 0: never")
	flag.Parse()
	log.SetOutput(os.Stderr)

	model := simulator.VPX()
	model.Machine, model.ClusterHost, model.Datastore = *vms, *hosts, *datastores
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	furnish()
	simulator.SessionIdleTimeout = time.Duration(*idle)
	collector := &pagedCollector{}
	collector.Self = simulator.Map.Get(types.ManagedObjectReference{
		Type: "PropertyCollector", Value: "propertyCollector",
	}).Reference()
	simulator.Map.Put(collector)

	held := &heldTasks{ends: map[string]chan types.BaseMethodFault{}, all: map[string]*simulator.Task{}}
	service := model.Service
	service.HandleFunc("/control/start", held.start)
	service.HandleFunc("/control/progress", held.progress)
	service.HandleFunc("/control/end", held.end)
	service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, os.Getenv("VCSIM_PASSWORD"))}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	server := service.NewServer()
	// Whoever started it reads where it listens; the user stays out of it.
	fmt.Println(server.URL.Host)

	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	<-stopped
	server.Close()
	model.Remove()
}
